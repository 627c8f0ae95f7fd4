//! Indexes over several fields, and indexes with a name of their own.
#![deny(warnings, missing_docs)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// Who sells it.
type Seller = Option<String>;

/// Something on a shelf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "items", index(name = "by_warehouse_quantity", fields(warehouse, quantity)))]
#[netabase(index(fields(seller, r#type, id), name = "by_seller"))]
#[netabase(index(name = "by_2", fields(type, place,)))]
pub struct Item {
    /// The key.
    #[netabase(key)]
    pub id: u64,
    /// Unique.
    #[netabase(unique(name = "by_number"))]
    pub sku: String,
    /// Where.
    pub warehouse: String,
    /// How many.
    #[netabase(index(name = "by_stock"))]
    pub quantity: i64,
    /// Of whom.
    pub seller: Seller,
    /// Of what kind.
    #[netabase(index)]
    pub r#type: u8,
    /// Row and shelf.
    pub place: (u16, u16),
    /// Until when.
    #[netabase(index(name = "by_end"))]
    pub expires: Option<u64>,
}

/// Generic, in key and value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_tag_time", fields(tag, time)), index(name = "by_time_name", fields(time, name)))]
pub struct Tagged<T, V> {
    /// The key.
    #[netabase(key)]
    pub id: u64,
    /// Any type.
    pub tag: T,
    /// When.
    pub time: u64,
    /// Called.
    pub name: Vec<u8>,
    /// What.
    pub value: V,
}

fn query<R: netabase::Record>(query: Query<R>) -> String {
    format!("{query:?}")
}

fn main() {
    let warehouse = String::from("north");
    for plan in [
        query(Item::by_warehouse_quantity(("north", 10))),
        query(Item::by_warehouse_quantity((&warehouse, -10))),
        query(Item::by_warehouse_quantity(ItemByWarehouseQuantityKey { warehouse: warehouse.clone(), quantity: 1 })),
        query(Item::by_warehouse_quantity(("north", 0)..("north", 10)).limit(3).reverse()),
        query(Item::by_warehouse_quantity(("north", 0)..=("south", 10))),
        query(Item::by_warehouse_quantity(("north", 0)..)),
        query(Item::by_warehouse_quantity(..)),
        query(Item::by_warehouse_quantity(leading("north"))),
        query(Item::by_warehouse_quantity(leading(warehouse))),
        query(Item::by_warehouse_quantity(leading(("north", 10)))),
        query(Item::by_seller((Some("ada"), 1, 7))),
        query(Item::by_seller((None::<String>, 1, 7))),
        query(Item::by_seller(leading(None::<String>))),
        query(Item::by_seller(leading((Some("ada"), 1)))),
        query(Item::by_2((1, (2, 3)))),
        query(Item::by_2(leading(1))),
        query(Item::by_number("a-1")),
        query(Item::by_number(starts_with("a-"))),
        query(Item::by_stock(1..10)),
        query(Item::by_end(..100)),
        query(Item::by_type(1)),
        query(Tagged::<u8, bool>::by_tag_time((1, 2))),
        query(Tagged::<String, bool>::by_tag_time(leading("x"))),
        query(Tagged::<String, bool>::by_time_name(leading(7))),
        query(Tagged::<String, bool>::by_time_name((7, b"x"))),
    ] {
        assert!(plan.starts_with("Query"));
    }
    let key = ItemBySellerKey::from((None::<String>, 1, 7));
    assert_eq!(key, ItemBySellerKey { seller: None, r#type: 1, id: 7 });
    assert!(key < ItemBySellerKey::from((Some(""), 0, 0)));
    let _ = (ItemByNumberKey::from("a-1"), ItemByStockKey(1), ItemByEndKey(2), ItemByTypeKey(3));
}
