//! The items of three warehouses, found by number, by place and stock, and by when they perish.
//!
//! `inventory --demo` works in a temporary directory and ends by itself; `inventory [DIR]` keeps its items in `DIR`
//! (default `./inventory-data`) and finds them again in the next run.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
// In this order: all of a warehouse are together, those with the least stock first.
#[netabase(index(name = "by_warehouse_quantity", fields(warehouse, quantity)))]
struct Item {
    #[netabase(key)]
    id: u64,
    /// The number on the label: no two items share one.
    #[netabase(unique)]
    sku: String,
    warehouse: String,
    quantity: u32,
    /// The day on which it perishes. What does not is not in this index.
    #[netabase(index(name = "by_perishing"))]
    perishes: Option<u32>,
}

const WAREHOUSES: [&str; 3] = ["Lyon", "Nantes", "Paris"];
const ITEMS: u64 = 60;
const PAGE: usize = 7;

fn item(id: u64) -> Item {
    Item {
        id,
        sku: format!("{}-{id:04}", ["bolt", "milk", "nail"][(id % 3) as usize]),
        warehouse: WAREHOUSES[(id / 3 % 3) as usize].to_owned(),
        quantity: (id * 37 % 50) as u32,
        perishes: (id % 3 == 1).then_some((id * 11 % 30) as u32),
    }
}

/// What is to be ordered: a range of one warehouse's part of the index.
async fn running_low(db: &Netabase<Item>, warehouse: &str, below: u32) -> netabase::Result<Vec<Item>> {
    db.query(Item::by_warehouse_quantity((warehouse, 0)..(warehouse, below))).await
}

/// All of a warehouse, a page at a time: each goes on behind the last item of the one before, in constant memory.
async fn stock(db: &Netabase<Item>, warehouse: &str) -> netabase::Result<(usize, u64)> {
    let pages = Item::by_warehouse_quantity(leading(warehouse)).limit(PAGE);
    let (mut items, mut pieces) = (0, 0);
    let mut page = db.query(pages.clone()).await?;
    while let Some(last) = page.last() {
        items += page.len();
        pieces += page.iter().map(|item| u64::from(item.quantity)).sum::<u64>();
        page = db.query(pages.clone().after_record(last)).await?;
    }
    Ok((items, pieces))
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let data_dir = match std::env::args().nth(1).as_deref() {
        Some("--demo") => scratch.path().join("inventory"),
        Some(directory) => directory.into(),
        None => "inventory-data".into(),
    };
    let db = Netabase::<Item>::start().data_dir(data_dir).await?;
    // The same in every run: it replaces what an earlier one changed.
    db.put_records((0..ITEMS).map(item).collect::<Vec<_>>()).await?;

    // A unique index: one item has this number, and no second one can get it, whoever asks.
    let milk = db.query(Item::by_sku("milk-0004")).await?;
    assert_eq!(milk, [item(4)]);
    let copy = Item { id: ITEMS, ..item(4) };
    let refused = db.put_record(copy).await.expect_err("the number is taken");
    assert!(matches!(refused, Error::UniqueViolation { .. }), "{refused}");
    println!("{} is in {}; a second one: {refused}", milk[0].sku, milk[0].warehouse);
    assert_eq!(db.count(Item::by_sku(starts_with("milk-"))).await?, ITEMS / 3);

    // A compound index: by its leading field, by a range of the next one, from the end.
    let mut found = 0;
    for warehouse in WAREHOUSES {
        let (items, pieces) = stock(&db, warehouse).await?;
        assert_eq!(items as u64, db.count(Item::by_warehouse_quantity(leading(warehouse))).await?);
        let low = running_low(&db, warehouse, 10).await?;
        assert!(low.is_sorted_by_key(|item| item.quantity));
        assert!(low.iter().all(|item| item.warehouse == warehouse && item.quantity < 10));
        let most = db.query(Item::by_warehouse_quantity(leading(warehouse)).reverse().limit(1)).await?;
        println!(
            "{warehouse:<7} {items} items, {pieces} pieces; most of {}; running low: {}",
            most[0].sku,
            low.iter().map(|item| format!("{} ({})", item.sku, item.quantity)).collect::<Vec<_>>().join(", "),
        );
        found += items as u64;
    }
    assert_eq!(found, ITEMS, "every item is in one warehouse");

    // A change moves its index rows with it.
    let mut sold = item(4);
    sold.quantity = 0;
    db.put_record(sold.clone()).await?;
    assert_eq!(running_low(&db, &sold.warehouse, 1).await?.first(), Some(&sold));
    assert!(!db.query(Item::by_warehouse_quantity((&sold.warehouse, item(4).quantity))).await?.contains(&item(4)));

    // An index over an `Option` holds what has a value.
    assert_eq!(db.count(Item::by_perishing(..)).await?, ITEMS / 3);
    let soon = db.query(Item::by_perishing(..7)).await?;
    assert!(soon.is_sorted_by_key(|item| item.perishes) && soon.iter().all(|item| item.perishes < Some(7)));
    println!("{} items perish within a week, {} first", soon.len(), soon[0].sku);
    db.shutdown().await
}
