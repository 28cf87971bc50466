//! The store against a map: whatever is committed, frozen, half ingested, snapshotted, installed, dropped and opened again, what
//! is read is the state after one commit, and after a restart it is none before the last that was durable.

use std::collections::BTreeMap;

use bytes::Bytes;
use dkc_core::ids::TabletId;
use dkc_core::tablet::{Changes, Rows};
use proptest::prelude::*;

use super::ingest::Ingesting;
use super::{Install, Storage, StorageError, StorageOptions, TabletSnapshot, TabletStore};

type Model = BTreeMap<Vec<u8>, Bytes>;

const TABLETS: u16 = 2;

#[derive(Debug, Clone)]
enum Step {
    /// Of a tablet: rows, and the length of their value; none removes.
    Commit(u16, Vec<(u8, Option<u16>)>),
    Ingest(u8),
    Snapshot(u16),
    Install(u16, Vec<u8>),
    /// As after a crash: what is under way is lost.
    Reopen,
    Drop(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![8 => 1_u16..60, 1 => 4_090_u16..6_000];
    let change = (any::<u8>(), prop::option::weighted(0.7, length));
    let tablet = 0..TABLETS;
    let step = prop_oneof![
        10 => (tablet.clone(), prop::collection::vec(change, 0..12)).prop_map(|(t, c)| Step::Commit(t, c)),
        8 => (0_u8..8).prop_map(Step::Ingest),
        2 => tablet.clone().prop_map(Step::Snapshot),
        1 => (tablet.clone(), prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(t, r)| Step::Install(t, r)),
        1 => Just(Step::Reopen),
        1 => tablet.prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 1..80)
}

/// A tablet and all that it has been: `states[n]` after commit n.
struct Known {
    store: TabletStore,
    states: Vec<Model>,
    durable: usize,
}

struct World {
    directory: tempfile::TempDir,
    storage: Option<Storage>,
    ingesting: Option<Ingesting>,
    tablets: Vec<Known>,
    snapshots: Vec<(TabletSnapshot, Model)>,
    values: u64,
}

fn rows_of<R: Rows<Error = StorageError>>(rows: &R) -> Model {
    let mut model = Model::new();
    rows.scan(b"", &mut |row, value| {
        assert!(model.insert(row.to_vec(), Bytes::copy_from_slice(value)).is_none(), "a row came twice");
        true
    })
    .unwrap();
    model
}

fn number(applied: Option<Bytes>) -> usize {
    applied.map_or(0, |bytes| String::from_utf8(bytes.to_vec()).unwrap().parse().unwrap())
}

fn text(number: usize) -> Bytes {
    Bytes::from(number.to_string().into_bytes())
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path(), StorageOptions::default()).unwrap();
        let open = |tablet| Known {
            store: storage.tablet(TabletId(tablet)).unwrap(),
            states: vec![Model::new()],
            durable: 0,
        };
        let tablets = (0..TABLETS).map(open).collect();
        World { directory, storage: Some(storage), ingesting: None, tablets, snapshots: vec![], values: 0 }
    }

    fn value(&mut self, length: u16) -> Bytes {
        self.values += 1;
        let mut value = self.values.to_string().into_bytes();
        value.resize(value.len() + usize::from(length), b'.');
        Bytes::from(value)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit(tablet, changes) => self.commit(tablet, changes),
            Step::Ingest(steps) => self.ingest(steps),
            Step::Snapshot(tablet) => {
                let known = &self.tablets[usize::from(tablet)];
                self.snapshots.push((known.store.snapshot().unwrap(), known.states.last().unwrap().clone()));
            }
            Step::Install(tablet, rows) => self.install(tablet, rows),
            Step::Reopen => self.reopen(),
            Step::Drop(tablet) => {
                let storage = self.storage.as_ref().unwrap();
                storage.drop_tablet(TabletId(tablet), Bytes::new()).unwrap();
                let store = storage.tablet(TabletId(tablet)).unwrap();
                self.tablets[usize::from(tablet)] = Known { store, states: vec![Model::new()], durable: 0 };
            }
        }
    }

    fn commit(&mut self, tablet: u16, changes: Vec<(u8, Option<u16>)>) {
        let changes: Changes = changes
            .into_iter()
            .map(|(row, length)| (vec![1, row], length.map(|length| self.value(length))))
            .collect();
        let known = &mut self.tablets[usize::from(tablet)];
        let mut state = known.states.last().unwrap().clone();
        dkc_core::tablet::rows::write_changes(&mut state, changes.clone());
        known.store.commit(changes, text(known.states.len()), None).unwrap();
        known.states.push(state);
    }

    fn ingest(&mut self, steps: u8) {
        let storage = self.storage.as_ref().unwrap();
        if self.ingesting.is_none() {
            storage.forget_ended().unwrap();
            let turn = storage.shared.turn.clone().try_lock_owned().unwrap();
            self.ingesting = storage.begin_ingesting(turn).unwrap();
        }
        for _ in 0..steps {
            let Some(ingesting) = &mut self.ingesting else { return };
            if !ingesting.step().unwrap() {
                self.ingesting = None;
            }
        }
        for known in &mut self.tablets {
            let durable = number(known.store.durable_applied());
            assert!(durable >= known.durable, "what was durable is no more");
            known.durable = durable;
        }
    }

    fn install(&mut self, tablet: u16, rows: Vec<u8>) {
        let rows: Model = rows.into_iter().map(|row| (vec![1, row], self.value(5))).collect();
        let known = &mut self.tablets[usize::from(tablet)];
        let mut install = Install::begin(known.store.clone()).unwrap();
        let chunk = rows.iter().map(|(row, value)| (Bytes::copy_from_slice(row), value.clone()));
        install.add_chunk(chunk.collect()).unwrap();
        install.finish(text(known.states.len()), None).unwrap();
        known.durable = known.states.len();
        known.states.push(rows);
    }

    fn reopen(&mut self) {
        self.ingesting = None;
        self.snapshots.clear();
        let places: Vec<(Vec<Model>, usize)> =
            self.tablets.drain(..).map(|known| (known.states, known.durable)).collect();
        self.storage = None;
        let storage = Storage::open(self.directory.path(), StorageOptions::default()).unwrap();
        for (tablet, (mut states, durable)) in places.into_iter().enumerate() {
            let store = storage.tablet(TabletId(tablet as u16)).unwrap();
            let applied = number(store.applied());
            assert!(applied >= durable, "after a restart {applied} is applied, but {durable} was durable");
            // The log would bring back the rest.
            states.truncate(applied + 1);
            self.tablets.push(Known { store, states, durable: applied });
        }
        self.storage = Some(storage);
    }

    fn check(&self) {
        for known in &self.tablets {
            let want = known.states.last().unwrap();
            assert_eq!(number(known.store.applied()), known.states.len() - 1);
            assert_eq!(rows_of(&known.store), *want);
            for row in 0..=u8::MAX {
                let row = [1, row];
                assert_eq!(known.store.get(&row).unwrap(), want.get(&row[..]).cloned());
            }
        }
        for (snapshot, want) in &self.snapshots {
            assert_eq!(rows_of(snapshot), *want);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_store_is_a_map_after_each_of_its_commits(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
        world.reopen();
        world.check();
    }
}
