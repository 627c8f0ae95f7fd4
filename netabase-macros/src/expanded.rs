//! What the derives generate, as a reader of `cargo expand` sees it: eleven forms, one snapshot each in `expanded/`.
//!
//! A change there is a change for users; read it, then accept it (`INSTA_UPDATE=always cargo nextest run -p netabase-macros`).

use syn::DeriveInput;

fn pretty(derive: fn(&DeriveInput) -> proc_macro2::TokenStream, input: &str) -> String {
    let tokens = derive(&syn::parse_str(input).expect("the input is an item"));
    prettyplease::unparse(&syn::parse2(tokens).expect("items are generated"))
}

macro_rules! snapshots {
    ($($name:ident: $derive:ident $input:literal;)*) => { $(
        #[test]
        fn $name() {
            insta::with_settings!({
                snapshot_path => "expanded",
                prepend_module_to_snapshot => false,
                omit_expression => true,
                description => $input,
            }, {
                insta::assert_snapshot!(stringify!($name), pretty(super::$derive, $input));
            });
        }
    )* };
}

snapshots! {
    record: schema "pub struct Account { #[netabase(key)] pub id: u64, pub name: String }";
    composite_key: schema "struct Entry { #[netabase(key)] account: u64, #[netabase(key)] r#type: String }";
    indexes: schema "pub(crate) struct Account {
        #[netabase(key)] id: u64,
        #[netabase(unique)] email: String,
        #[netabase(index(name = \"by_town\"))] city: Option<String>,
    }";
    compound_index: schema "#[netabase(name = \"accounts\", index(name = \"by_city_balance\", fields(city, balance)))]
    struct Account { #[netabase(key)] id: u64, city: String, balance: i64 }";
    generic: schema "struct Tagged<K: Copy, V = u8> where V: Default { #[netabase(key)] id: K, value: V }";
    tuple_struct: schema "struct Link(f64, #[netabase(key)] u64, #[netabase(key)] String);";
    enum_of_records: schema "#[netabase(crate = \"store\")]
    pub enum Bank { Account(Account), #[netabase(name = \"bookings\")] Entry(Entry) }";
    own_enum: own_key "enum Status { Open = 1, Closed = 5 }";
    own_newtype: own_key "pub struct Name { text: String }";
    nothing_usable: schema "#[netabase(crate = \"store\")] enum Bank {}";
    mistakes: schema "struct Account { #[netabase(uniqe)] email: String }";
}
