//! Random queries over random records against brute force: filter and sort a list. On redb and in memory, through the
//! store alone and, page by page, through a node's stream.
//!
//! `NETABASE_SEED` repeats one seed, `NETABASE_QUERY_SEEDS` (20) sets how many are tried.

use std::ops::Range;

use netabase::store::Store;
use netabase::testing::Cluster;
use netabase::{NetabaseSchema, Query, Record as _, StoreKind, leading, starts_with};
use netabase_tests::{Random, Side, on_both_sides};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[allow(clippy::duplicated_attributes, reason = "a field in two indexes is no mistake")]
#[netabase(index(name = "by_city_note", fields(city, note)))]
#[netabase(index(name = "by_shelf_city_count", fields(shelf, city, count)))]
struct Item {
    #[netabase(key)]
    shelf: u8,
    #[netabase(key)]
    slot: u16,
    #[netabase(unique)]
    sku: String,
    #[netabase(index)]
    city: String,
    #[netabase(index)]
    note: Option<i8>,
    #[netabase(index)]
    count: i32,
}

/// One's name begins another's, and one is empty.
const CITIES: [&str; 6] = ["", "Par", "Paris", "Paris\0", "Rome", "Ærø"];

fn item(random: &mut Random, slots: u64) -> Item {
    let (shelf, slot) = (random.below(5) as u8, random.below(slots) as u16);
    Item {
        shelf,
        slot,
        sku: format!("{slot:04}-{shelf}"),
        city: CITIES[random.below(6) as usize].to_owned(),
        note: (random.below(3) > 0).then(|| random.below(7) as i8 - 3),
        count: random.below(30) as i32 - 15,
    }
}

/// In an index the values of its fields, by key none; then the key.
type Place = (Vec<Vec<u8>>, (u8, u16));
type Order = fn(&Item) -> Place;
type Filter = Box<dyn Fn(&Item) -> bool>;

/// A number's place among its like, as bytes.
fn number(value: impl Into<i64>) -> Vec<u8> {
    (value.into().cast_unsigned() ^ (1 << 63)).to_be_bytes().to_vec()
}

/// Nothing comes before anything.
fn optional(value: Option<i8>) -> Vec<u8> {
    value.map_or_else(Vec::new, number)
}

fn by_key(item: &Item) -> Place {
    (Vec::new(), (item.shelf, item.slot))
}

fn by_sku(item: &Item) -> Place {
    (vec![item.sku.as_bytes().to_vec()], (item.shelf, item.slot))
}

fn by_city(item: &Item) -> Place {
    (vec![item.city.as_bytes().to_vec()], (item.shelf, item.slot))
}

fn by_note(item: &Item) -> Place {
    (vec![optional(item.note)], (item.shelf, item.slot))
}

fn by_count(item: &Item) -> Place {
    (vec![number(item.count)], (item.shelf, item.slot))
}

fn by_city_note(item: &Item) -> Place {
    (vec![item.city.as_bytes().to_vec(), optional(item.note)], (item.shelf, item.slot))
}

fn by_shelf_city_count(item: &Item) -> Place {
    (vec![vec![item.shelf], item.city.as_bytes().to_vec(), number(item.count)], (item.shelf, item.slot))
}

/// A query, which items it selects, and in which order they come.
fn query(random: &mut Random, slots: u64) -> (String, Query<Item>, Filter, Order) {
    let (shelf, slot) = (random.below(6) as u8, random.below(slots) as u16);
    let (other_shelf, other_slot) = (random.below(6) as u8, random.below(slots) as u16);
    let city = CITIES[random.below(6) as usize];
    let other = CITIES[random.below(6) as usize];
    let note = random.below(8) as i8 - 4;
    let count = random.below(34) as i32 - 17;
    let other_count = random.below(34) as i32 - 17;
    let (low, high) = ((shelf, slot), (other_shelf, other_slot));
    let at = |item: &Item| (item.shelf, item.slot);
    match random.below(24) {
        0 => ("all".into(), Item::all(), Box::new(|_| true), by_key),
        1 => (
            format!("{low:?}..{high:?}"),
            Item::range(low..high),
            Box::new(move |i| (low..high).contains(&at(i))),
            by_key,
        ),
        2 => (
            format!("{low:?}..={high:?}"),
            Item::range(low..=high),
            Box::new(move |i| (low..=high).contains(&at(i))),
            by_key,
        ),
        3 => (format!("{low:?}.."), Item::range(low..), Box::new(move |i| at(i) >= low), by_key),
        4 => (format!("..{low:?}"), Item::range(..low), Box::new(move |i| at(i) < low), by_key),
        5 => (format!("prefix {shelf}"), Item::prefix(shelf), Box::new(move |i| i.shelf == shelf), by_key),
        6 => (format!("prefix {low:?}"), Item::prefix(low), Box::new(move |i| at(i) == low), by_key),
        7 => (format!("city {city:?}"), Item::by_city(city), Box::new(move |i| i.city == city), by_city),
        8 => (format!("city {city:?}.."), Item::by_city(city..), Box::new(move |i| i.city.as_str() >= city), by_city),
        9 => (
            format!("city {city:?}..={other:?}"),
            Item::by_city(city..=other),
            Box::new(move |i| (city..=other).contains(&i.city.as_str())),
            by_city,
        ),
        10 => {
            let start = &city[..city.len().min(3)];
            let filter: Filter = Box::new(move |i| i.city.starts_with(start));
            (format!("city {start:?}…"), Item::by_city(starts_with(start)), filter, by_city)
        }
        11 => (format!("note {note}"), Item::by_note(note), Box::new(move |i| i.note == Some(note)), by_note),
        12 => (
            format!("note {note}.."),
            Item::by_note(note..),
            Box::new(move |i| i.note.is_some_and(|own| own >= note)),
            by_note,
        ),
        13 => (
            format!("count {count}..{other_count}"),
            Item::by_count(count..other_count),
            Box::new(move |i| (count..other_count).contains(&i.count)),
            by_count,
        ),
        14 => (format!("count ..={count}"), Item::by_count(..=count), Box::new(move |i| i.count <= count), by_count),
        15 => {
            let start = format!("{:02}", random.below(slots / 100 + 1));
            let query = Item::by_sku(starts_with(start.clone()));
            (format!("sku {start:?}…"), query, Box::new(move |i| i.sku.starts_with(&start)), by_sku)
        }
        16 => ("every note".into(), Item::by_note(..), Box::new(|i| i.note.is_some()), by_note),
        _ => over_several_fields(random, shelf, city, other, count..other_count),
    }
}

/// Over an index of several fields, which holds every item: an item without a note, too.
fn over_several_fields(
    random: &mut Random,
    shelf: u8,
    city: &'static str,
    other: &'static str,
    counts: Range<i32>,
) -> (String, Query<Item>, Filter, Order) {
    let mut some = || (random.below(3) > 0).then_some(random.below(8) as i8 - 4);
    let (low, high) = ((city, some()), (other, some()));
    let pair = |item: &Item| (item.city.clone(), item.note);
    let (from, to) = ((low.0.to_owned(), low.1), (high.0.to_owned(), high.1));
    match random.below(7) {
        0 => {
            (format!("city, remark {low:?}"), Item::by_city_note(low), Box::new(move |i| pair(i) == from), by_city_note)
        }
        1 => (
            format!("city, remark {low:?}..={high:?}"),
            Item::by_city_note(low..=high),
            Box::new(move |i| (&from..=&to).contains(&&pair(i))),
            by_city_note,
        ),
        2 => (
            format!("city, remark {low:?}.."),
            Item::by_city_note(low..),
            Box::new(move |i| pair(i) >= from),
            by_city_note,
        ),
        3 => (
            format!("city, remark {city:?}…"),
            Item::by_city_note(leading(city)),
            Box::new(move |i| i.city == city),
            by_city_note,
        ),
        4 => (
            format!("shelf, city, count {shelf}…"),
            Item::by_shelf_city_count(leading(shelf)),
            Box::new(move |i| i.shelf == shelf),
            by_shelf_city_count,
        ),
        5 => (
            format!("shelf, city, count {shelf} {city:?}…"),
            Item::by_shelf_city_count(leading((shelf, city))),
            Box::new(move |i| i.shelf == shelf && i.city == city),
            by_shelf_city_count,
        ),
        _ => (
            format!("shelf, city, count {shelf} {city:?} {counts:?}"),
            Item::by_shelf_city_count((shelf, city, counts.start)..(shelf, city, counts.end)),
            Box::new(move |i| i.shelf == shelf && i.city == city && counts.contains(&i.count)),
            by_shelf_city_count,
        ),
    }
}

/// A query with all that can be said of it, and what it must give.
fn asked(random: &mut Random, items: &[Item], slots: u64) -> (String, Query<Item>, Vec<Item>) {
    let (mut what, mut query, filter, order) = query(random, slots);
    let mut expected: Vec<Item> = items.iter().filter(|item| filter(item)).cloned().collect();
    expected.sort_by_key(order);
    let reverse = random.below(2) == 0;
    if reverse {
        query = query.reverse();
        expected.reverse();
        what += " reversed";
    }
    if random.below(3) == 0 {
        // Any item that the index holds, also one that is gone, or that the query does not select.
        let mut last = items.get(random.below(items.len() as u64 + 1) as usize).cloned().unwrap_or(item(random, slots));
        if what.contains("note") {
            last.note = last.note.or(Some(0));
        }
        let place = order(&last);
        expected.retain(|item| if reverse { order(item) < place } else { order(item) > place });
        what += &format!(" after {place:?}");
        query = if random.below(2) == 0 && place.0.is_empty() {
            query.after((last.shelf, last.slot))
        } else {
            query.after_record(&last)
        };
    }
    if random.below(3) == 0 {
        let limit = random.below(8) as usize;
        query = query.limit(limit);
        expected.truncate(limit);
        what += &format!(" limit {limit}");
    }
    (what, query, expected)
}

on_both_sides!(streams_agree_with_brute_force);

fn seeds() -> impl Iterator<Item = u64> {
    let seeds = std::env::var("NETABASE_QUERY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20);
    let (first, _) = Random::from_environment();
    (0..seeds).map(move |n| first.wrapping_add(n))
}

/// Puts and removes, some of them again: what stays, in no order.
fn change(random: &mut Random, items: &mut Vec<Item>, slots: u64) -> (Vec<Item>, Vec<(u8, u16)>) {
    let (mut puts, mut removes) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        let new = item(random, slots);
        items.retain(|old| (old.shelf, old.slot) != (new.shelf, new.slot));
        puts.retain(|old: &Item| (old.shelf, old.slot) != (new.shelf, new.slot));
        items.push(new.clone());
        puts.push(new);
    }
    for _ in 0..random.below(20) {
        let gone = items.swap_remove(random.below(items.len() as u64) as usize);
        removes.push((gone.shelf, gone.slot));
    }
    (puts, removes)
}

#[test]
fn queries_agree_with_brute_force() -> netabase::Result<()> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for seed in seeds() {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let slots = 20;
        for kind in [StoreKind::Memory, StoreKind::Redb, StoreKind::Sled] {
            let path = directory.path().join(format!("{seed}-{kind:?}"));
            let mut store = Store::<Item>::open(&path, kind)?;
            let mut items = Vec::new();
            for _ in 0..4 {
                let (puts, removes) = change(&mut random, &mut items, slots);
                store.put_records(puts)?;
                for key in removes {
                    store.remove_record::<Item>(key)?;
                }
                if kind != StoreKind::Memory && random.below(2) == 0 {
                    drop(store);
                    store = Store::open(&path, kind)?;
                }
                assert_eq!(store.verify()?.records, items.len() as u64);
                for _ in 0..120 {
                    let (what, query, expected) = asked(&mut random, &items, slots);
                    let what = format!("seed {seed}, {kind:?}: {what}");
                    assert_eq!(store.count(query.clone())?, expected.len() as u64, "{what}");
                    assert_eq!(store.query(query)?, expected, "{what}");
                }
            }
        }
    }
    Ok(())
}

/// More than a page of them, so that a stream goes on where a page ended.
async fn streams_agree_with_brute_force(side: Side) -> netabase::Result<()> {
    let (seed, mut random) = Random::from_environment();
    println!("seed {seed}");
    let cluster = Cluster::<Item>::start(1).await?;
    let db = side.of(&cluster).await?;
    let (slots, mut items) = (400, Vec::new());
    for _ in 0..18 {
        let (puts, removes) = change(&mut random, &mut items, slots);
        db.put_records(puts).await?;
        for key in removes {
            db.remove_record::<Item>(key).await?;
        }
    }
    assert!(items.len() > 512, "two pages");
    for _ in 0..150 {
        let (what, query, expected) = asked(&mut random, &items, slots);
        let mut stream = db.stream(query.clone());
        let mut streamed = Vec::new();
        while let Some(item) = stream.next().await {
            streamed.push(item?);
        }
        assert_eq!(streamed, expected, "seed {seed}: {what}");
        assert_eq!(db.explain(query.clone()).await?.rows, expected.len() as u64, "seed {seed}: {what}");
        assert_eq!(db.query(query).await?, expected, "seed {seed}: {what}");
    }

    // What is there all along comes once, whatever is removed around it: here, what came last.
    for query in [Item::all(), Item::by_city(..).reverse(), Item::by_city_note(..)] {
        let is_kept = |item: &&Item| item.slot.is_multiple_of(4);
        let mut stream = db.stream(query);
        let mut streamed = Vec::new();
        while let Some(item) = stream.next().await {
            let item = item?;
            if !is_kept(&&item) {
                db.remove_record::<Item>((item.shelf, item.slot)).await?;
            }
            streamed.push(item);
        }
        for item in items.iter().filter(is_kept) {
            assert_eq!(streamed.iter().filter(|seen| *seen == item).count(), 1, "seed {seed}: {item:?}");
        }
        assert_eq!(streamed.len(), items.len(), "seed {seed}");
        db.put_records(items.clone()).await?;
    }
    cluster.shutdown().await
}

/// A loop over a long stream once kept the one thread of its runtime to itself: a local read never waits for anything.
#[tokio::test(flavor = "current_thread")]
async fn a_long_stream_lets_other_tasks_run() -> netabase::Result<()> {
    let cluster = Cluster::<Item>::start(1).await?;
    let db = cluster.node(0);
    let items =
        (0..600).map(|slot| Item { shelf: 0, slot, sku: slot.to_string(), city: String::new(), note: None, count: 0 });
    db.put_records(items).await?;
    let mut stream = db.stream(Item::all());
    let other = tokio::spawn(async {});
    let mut before_other = 0;
    while !other.is_finished() && stream.next().await.transpose()?.is_some() {
        before_other += 1;
    }
    assert!(other.is_finished(), "{before_other} records in one go");
    cluster.shutdown().await
}
