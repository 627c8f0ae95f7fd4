use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroI16, NonZeroU8, Wrapping};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Field, Form, Kind, Shape, trace};

fn shape<T: DeserializeOwned>() -> Shape {
    trace::<T>().expect("it can be traced")
}

fn unseen(form: &Form) -> bool {
    match form {
        Form::Unseen => true,
        Form::Option(a) | Form::Seq(a) | Form::Array(_, a) => unseen(a),
        Form::Map(a, b) => unseen(a) || unseen(b),
        Form::Tuple(forms) | Form::OneOf(forms) => forms.iter().any(unseen),
        Form::Leaf(_) | Form::Type(_) => false,
    }
}

/// Seen to its leaves.
fn complete<T: DeserializeOwned>() {
    let shape = shape::<T>();
    let fields = |fields: &[Field]| fields.iter().any(|field| unseen(&field.form));
    let hidden = unseen(&shape.root)
        || shape.types.iter().any(|kind| match &kind.kind {
            Kind::Struct(all) => fields(all),
            Kind::Enum(variants) => variants.iter().any(|variant| fields(&variant.fields)),
        });
    assert!(!hidden, "{}: {shape:#?}", std::any::type_name::<T>());
}

#[test]
fn types_of_std_are_seen_to_their_leaves() {
    complete::<(bool, char, String, u8, i128, f32, ())>();
    complete::<(NonZeroU8, NonZeroI16, Wrapping<u32>)>();
    complete::<(Duration, SystemTime, PathBuf)>();
    complete::<(IpAddr, SocketAddr)>();
    complete::<(Box<str>, Cow<'static, str>, Vec<Option<Box<u8>>>)>();
    complete::<(HashMap<String, Vec<u8>>, BTreeMap<u8, BTreeSet<char>>)>();
    complete::<([u16; 32], Result<u8, String>, std::ops::Range<u64>, std::ops::Bound<u8>)>();
    complete::<std::ffi::CString>();
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
enum Token {
    Nothing,
    Number(u64),
    Pair(u8, String),
    Named { at: Duration, inner: Inner },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
enum Inner {
    Left(Leaf),
    Right { leaf: Option<Leaf> },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
enum Leaf {
    A,
    B([u8; 4]),
    C(f64),
}

#[test]
fn every_variant_of_every_nested_enum_is_seen() {
    complete::<Token>();
    complete::<Vec<HashMap<String, Token>>>();
    let shape = shape::<Token>();
    let names: Vec<_> = shape.types.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!(names, ["Token", "Duration", "Inner", "Leaf"]);
    let Kind::Enum(leaf) = &shape.types[3].kind else { panic!("{shape:#?}") };
    assert_eq!(leaf[1].fields[0].form, Form::Array(4, Box::new(Form::Leaf("u8".to_owned()))));
    assert_eq!(leaf[2].fields[0].form, Form::Leaf("f64".to_owned()));
}

/// The first variant of each leads back: a value needs another one.
#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
enum Expression {
    Sum(Box<Expression>, Box<Expression>, Late),
    Call { arguments: Vec<Expression>, callee: Box<Callee> },
    Constant(i32),
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
struct Callee {
    of: Expression,
    next: Option<Box<Callee>>,
    then: Late,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
enum Late {
    Again(Box<Expression>),
    Done(u8),
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
#[serde(transparent)]
struct Nameless(Vec<Nameless>);

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
struct Newtype(Vec<Newtype>);

#[test]
fn recursive_types_are_finite() {
    complete::<Expression>();
    complete::<Callee>();
    complete::<Newtype>();
    assert_eq!(shape::<Expression>().types.len(), 3);
    shape::<Nameless>();
}

#[test]
fn pointers_and_newtypes_of_pointers_are_transparent() {
    assert_eq!(shape::<Box<Duration>>(), shape::<Duration>());
    let _ = Rc::new(());
}

/// Checks what it reads; only some samples pass.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Email;

impl TryFrom<String> for Email {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('@') { Ok(Email) } else { Err("not an address".to_owned()) }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "(u8, u8)")]
struct Interval;

impl TryFrom<(u8, u8)> for Interval {
    type Error = String;
    fn try_from((low, high): (u8, u8)) -> Result<Self, String> {
        if low < high { Ok(Interval) } else { Err("not an interval".to_owned()) }
    }
}

/// Takes nothing at all.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Impossible;

impl TryFrom<String> for Impossible {
    type Error = String;
    fn try_from(_: String) -> Result<Self, String> {
        Err("no".to_owned())
    }
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
struct Checked {
    email: Email,
    interval: Vec<Interval>,
    after: u8,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
struct Hidden {
    before: u8,
    maybe: Option<Impossible>,
    many: Vec<Impossible>,
    between: Late,
    never: Impossible,
    after: u16,
}

#[test]
fn types_that_check_what_they_read_are_offered_more() {
    complete::<Checked>();
}

#[test]
fn what_no_sample_passes_hides_only_what_comes_after_it() {
    let shape = shape::<Hidden>();
    let Kind::Struct(fields) = &shape.types[0].kind else { panic!("{shape:#?}") };
    let text = Form::Leaf("string".to_owned());
    assert_eq!(fields[1].form, Form::Option(Box::new(text.clone())));
    assert_eq!(fields[2].form, Form::Seq(Box::new(text.clone())));
    assert!(matches!(fields[3].form, Form::Type(_)));
    assert_eq!(fields[4].form, text);
    assert_eq!(fields[5].form, Form::Unseen);
}

mod one {
    #[derive(serde::Deserialize)]
    #[allow(dead_code, reason = "traced only")]
    pub(super) struct Same {
        value: Vec<super::other::Same>,
    }
}

mod other {
    #[derive(serde::Deserialize)]
    #[allow(dead_code, reason = "traced only")]
    pub(super) struct Same {
        value: u8,
    }
}

#[test]
fn types_of_one_name_in_two_modules_are_two() {
    assert_eq!(shape::<one::Same>().types.len(), 2);
    complete::<one::Same>();
}

macro_rules! variants_of_a_struct {
    ($($module:ident { $($body:tt)* })*) => { $(
        mod $module {
            #[derive(serde::Deserialize)]
            #[allow(dead_code, reason = "traced only")]
            pub(super) struct Place { $($body)* }
        }
    )* };
}

variants_of_a_struct! {
    base { name: String, at: (u8, u16) }
    swapped { at: (u8, u16), name: String }
    renamed { #[serde(rename = "name")] other: String, at: (u8, u16) }
    defaulted { #[serde(default)] name: String, at: (u8, u16) }
    retyped { name: String, at: (u16, u8) }
    longer { name: String, at: (u8, u16), more: () }
}

#[test]
fn what_changes_the_bytes_or_the_names_changes_the_shape() {
    let base = shape::<base::Place>();
    assert_eq!(base, shape::<renamed::Place>());
    assert_eq!(base, shape::<defaulted::Place>());
    assert_ne!(base, shape::<swapped::Place>());
    assert_ne!(base, shape::<retyped::Place>());
    assert_ne!(base, shape::<longer::Place>());
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
#[serde(tag = "t")]
enum Tagged {
    Number { number: u8 },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
struct Flat {
    #[serde(flatten)]
    rest: HashMap<String, u8>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
struct Outer<T> {
    first: u8,
    inner: Vec<Option<T>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "traced only")]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Number(u8),
    Text(String),
}

#[test]
fn what_cannot_be_read_back_is_refused_with_the_way_to_it() {
    for outcome in [trace::<Outer<Untagged>>(), trace::<Outer<Tagged>>(), trace::<Outer<Adjacent>>()] {
        let reason = outcome.expect_err("it cannot be read back");
        assert!(reason.starts_with("in `Outer`") && reason.contains("untagged"), "{reason}");
    }
    assert!(trace::<Outer<serde_json::Value>>().is_err());
    let reason = trace::<Outer<Flat>>().expect_err("it cannot be read back");
    assert!(reason.contains("`Outer`") && reason.contains("flatten"), "{reason}");
}
