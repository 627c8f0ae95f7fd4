//! What expires in a store that is damaged, or that is said to be.

use super::super::{STUCK_ROWS_MAX, Step, expire, is_due};
use super::*;

/// A store of logins alone, to be damaged.
struct Alone {
    store: Store,
    rule: Rule,
    versions: crate::machine::Versions,
    catalog: Catalog,
}

impl Alone {
    fn new() -> Alone {
        let catalog = Catalog::of::<Login>().expect("a schema");
        let mut store = Store::open(Arc::new(MemoryEngine::default())).expect("it is new");
        let versions = adopt(&mut store, &catalog, Keeper::Alone, &catalog.newest()).expect("it is new");
        Alone { store, rule: Rule::new(&catalog), versions, catalog }
    }

    fn write(&mut self, rows: impl FnOnce(&Alone) -> Vec<WriteSet>) {
        let rows = rows(self);
        let round = self.store.applied() + 1;
        let mut draft = self.store.draft();
        rows.into_iter().for_each(|rows| draft.write(rows));
        draft.install(round).expect("memory reads");
    }

    fn put(&mut self, login: &Login) {
        let put = Write::Put { record: record(), value: value(login) };
        self.write(|alone| {
            let view = alone.store.view();
            vec![alone.rule.apply(&view, &alone.versions, &put, view.applied() + 1).expect("memory reads").0]
        });
    }

    /// What its row says is of no login any more.
    fn damage(&mut self, ids: impl Iterator<Item = u64>) {
        self.write(|_| {
            let mut rows = WriteSet::default();
            for id in ids {
                let row_key = layout::record_key(record(), &crate::Key::to_bytes(&id));
                rows.put(row_key, layout::record_value(1, &[1]));
            }
            vec![rows]
        });
    }

    /// How many it removed, and the clock.
    fn expire(&mut self, now_ms: u64) -> (u64, u64) {
        let round = self.store.applied() + 1;
        let mut draft = self.store.draft();
        let law = (&self.rule, &self.versions);
        let removed = expire(law, &mut draft, now_ms, round, Step::OF_A_ROUND).expect("memory reads");
        draft.install(round).expect("memory reads");
        (removed, self.store.view().clock_ms().expect("memory reads"))
    }
}

/// More of them than a step removes stood in front of all others, and nothing expired any more.
#[test]
fn what_cannot_be_read_back_holds_up_nothing_but_the_clock() {
    let mut alone = Alone::new();
    for id in 0..700 {
        alone.put(&login(id, 1_000 + id));
    }
    alone.damage((0..300).chain([450]));
    assert_eq!(alone.expire(1_600), (256, 999));
    assert_eq!(alone.expire(1_600), (44, 999));
    assert_eq!(alone.expire(1_600), (0, 999), "it is told that it got nowhere");
    assert!(is_due(&alone.rule, &alone.store.view(), 1_600).expect("memory reads"));
    assert_eq!(alone.expire(1_700), (99, 999));
    // Mended by a write, they go, and the clock goes on.
    for id in (0..300).chain([450]) {
        let row_key = layout::record_key(record(), &crate::Key::to_bytes(&id));
        alone.write(|_| {
            let mut rows = WriteSet::default();
            rows.put(row_key, layout::record_value(1, &value(&login(id, 1_000 + id))));
            vec![rows]
        });
    }
    assert_eq!((alone.expire(1_700), alone.expire(1_700)), ((256, 1_255), (45, 1_450)));
    const { assert!(STUCK_ROWS_MAX > 301) };
}

/// Rows that were removed stay in the overlays until they are flushed; each step and each query went over all of them.
#[test]
fn what_the_clock_has_passed_is_not_looked_at() {
    let mut alone = Alone::new();
    alone.put(&login(1, 1_000));
    alone.put(&login(2, 2_000));
    assert_eq!(alone.expire(1_500), (1, 1_000));
    alone.write(|_| {
        let mut rows = WriteSet::default();
        let expiry = crate::schema::IndexId::expiry();
        rows.put(layout::index_key(record(), expiry, &1_000_u64.to_be_bytes(), b"k"), Bytes::from_static(b"no row"));
        vec![rows]
    });
    let view = alone.store.view();
    assert_eq!(view.hides(record(), &Login::__GLUE).expect("it is not read"), view.read_at_ms());
    assert!(!is_due(&alone.rule, &view, 1_999).expect("it is not read"));
    drop(view);
    assert_eq!(alone.expire(2_500), (1, 2_000));
}

#[test]
fn a_record_that_the_clock_has_passed_is_damage() {
    let mut alone = Alone::new();
    alone.put(&login(1, 1_000));
    alone.write(|_| {
        let mut clock = WriteSet::default();
        clock.replace(layout::clock_key(), None, Some(layout::clock_row(1_000)));
        vec![clock]
    });
    let damage = verify(&alone.store.view(), &alone.catalog).expect_err("it was to be removed");
    assert!(damage.to_string().contains("was to be removed"), "{damage}");
}
