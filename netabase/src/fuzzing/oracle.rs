//! What the state must be: ordered maps of records with the rounds of their last writes, the rule and the queries over
//! them in a few obvious lines.

use std::collections::BTreeMap;

use super::input::Input;
use super::sample::{Note, Person, key, note, person, record_id, value};
use crate::Query;
use crate::command::{Applied, Outcome, Refusal, Write};
use crate::schema::{IndexId, Record, leading, starts_with};
use crate::storage::Change;

/// A write, before it is bytes.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    PutPerson(Person),
    InsertPerson(Person),
    RemovePerson(String),
    PutNote(Note),
    RemoveNote(u8, String),
    /// No value of a person.
    PutNonsense(Vec<u8>),
}

impl Wanted {
    pub(super) fn made(input: &mut Input<'_>) -> Wanted {
        match input.byte() % 8 {
            0 | 1 => Wanted::PutPerson(person_of(input)),
            2 | 3 => Wanted::InsertPerson(person_of(input)),
            4 => Wanted::RemovePerson(input.text()),
            5 => Wanted::PutNote(note(input.byte() % 3, &input.text(), input.block())),
            6 => Wanted::RemoveNote(input.byte() % 3, input.text()),
            // Of another version, whatever follows.
            _ => Wanted::PutNonsense([&[0], input.block()].concat()),
        }
    }

    pub(super) fn write(&self) -> Write {
        match self {
            Wanted::PutPerson(person) => Write::Put { record: record_id::<Person>(), value: value(person) },
            Wanted::InsertPerson(person) => Write::Insert { record: record_id::<Person>(), value: value(person) },
            Wanted::RemovePerson(name) => {
                Write::Remove { record: record_id::<Person>(), key: key(&person(name, None, None, 0)) }
            }
            Wanted::PutNote(note) => Write::Put { record: record_id::<Note>(), value: value(note) },
            Wanted::RemoveNote(topic, title) => {
                Write::Remove { record: record_id::<Note>(), key: key(&note(*topic, title, b"")) }
            }
            Wanted::PutNonsense(bytes) => Write::Put { record: record_id::<Person>(), value: bytes.clone().into() },
        }
    }
}

pub(super) fn person_of(input: &mut Input<'_>) -> Person {
    Person {
        name: input.text(),
        email: input.optional(Input::text),
        city: input.optional(Input::text),
        age: i16::from_be_bytes(input.array()) % 3,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Oracle {
    pub(super) persons: BTreeMap<String, (u64, Person)>,
    pub(super) notes: BTreeMap<(u8, String), (u64, Note)>,
}

impl Oracle {
    /// What a write does, and what those who watch are told.
    pub(super) fn apply(&mut self, wanted: &Wanted, round: u64) -> (Outcome, Option<Change>) {
        let record = record_id::<Person>();
        match wanted {
            // It begins with a 0, and there never was such a version.
            Wanted::PutNonsense(_) => (Err(Refusal::Outdated { record, version: 0, active: 1 }), None),
            Wanted::InsertPerson(person) if self.persons.contains_key(&person.name) => {
                (Err(Refusal::AlreadyExists { record }), None)
            }
            Wanted::PutPerson(person) | Wanted::InsertPerson(person) => {
                let mut others = self.persons.values().filter(|(_, other)| other.name != person.name);
                if person.email.is_some() && others.any(|(_, other)| other.email == person.email) {
                    let index = IndexId::named("email");
                    return (Err(Refusal::UniqueViolation { record, index }), None);
                }
                let before = self.persons.insert(person.name.clone(), (round, person.clone()));
                done(round, Some(person), before)
            }
            Wanted::RemovePerson(name) => done(round, None, self.persons.remove(name)),
            Wanted::PutNote(note) => {
                let before = self.notes.insert((note.topic, note.title.clone()), (round, note.clone()));
                done(round, Some(note), before)
            }
            Wanted::RemoveNote(topic, title) => done(round, None, self.notes.remove(&(*topic, title.clone()))),
        }
    }

    /// All or none.
    pub(super) fn apply_all(&mut self, wanted: &[Wanted], round: u64) -> (Outcome, Vec<Change>) {
        let (mut next, mut changes) = (self.clone(), Vec::new());
        let (mut outcome, wanted_alone) = (Ok(Applied { round, existed: false }), wanted.len() == 1);
        for wanted in wanted {
            let (applied, change) = next.apply(wanted, round);
            match applied {
                Ok(applied) => outcome = Ok(Applied { existed: applied.existed && wanted_alone, ..applied }),
                Err(_) => return (applied, Vec::new()),
            }
            changes.extend(change);
        }
        *self = next;
        (outcome, changes)
    }

    /// The persons that an ask selects with the rounds of their last writes, in its order.
    pub(super) fn select(&self, ask: &Ask) -> Vec<(u64, Person)> {
        let mut found: Vec<_> = self.persons.values().filter(|(_, person)| ask.selects(person)).cloned().collect();
        found.sort_by_key(|(_, person)| ask.place(person));
        if let Some(after) = &ask.after {
            let place = ask.place(after);
            found.retain(|(_, person)| {
                ask.is_in_index(after)
                    && if ask.reverse { ask.place(person) < place } else { ask.place(person) > place }
            });
        }
        if ask.reverse {
            found.reverse();
        }
        found.truncate(ask.limit.unwrap_or(usize::MAX));
        found
    }
}

fn done<R>(round: u64, after: Option<&R>, before: Option<(u64, R)>) -> (Outcome, Option<Change>)
where
    R: crate::Member<super::sample::Sample>,
{
    let applied = Applied { round, existed: before.is_some() };
    let Some(of) = after.or(before.as_ref().map(|(_, record)| record)) else { return (Ok(applied), None) };
    let change = Change {
        record: record_id::<R>(),
        key: key(of),
        before: before.as_ref().map(|(round, record)| (*round, value(record))),
        after: after.map(value),
    };
    (Ok(applied), Some(change))
}

/// A query over persons, before it is bytes.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    which: Which,
    reverse: bool,
    limit: Option<usize>,
    after: Option<Person>,
}

#[derive(Clone, Debug)]
enum Which {
    All,
    Names(String, String),
    StartsWith(String),
    City(String),
    Cities(String, String),
    CitiesAsStart(String),
    CityAge(Option<String>),
    CityAges(Option<String>, i16, i16),
    Email(String),
    EveryAge,
}

impl Ask {
    pub(super) fn made(input: &mut Input<'_>) -> Ask {
        let which = match input.byte() % 10 {
            0 => Which::All,
            1 => Which::Names(input.text(), input.text()),
            2 => Which::StartsWith(input.text()),
            3 => Which::City(input.text()),
            4 => Which::Cities(input.text(), input.text()),
            5 => Which::CitiesAsStart(input.text()),
            6 => Which::CityAge(input.optional(Input::text)),
            7 => Which::CityAges(input.optional(Input::text), i16::from(input.byte()) - 2, i16::from(input.byte()) - 2),
            8 => Which::Email(input.text()),
            _ => Which::EveryAge,
        };
        let flags = input.byte();
        Ask {
            which,
            reverse: flags & 1 == 1,
            limit: (flags & 2 == 2).then(|| usize::from(flags >> 4)),
            after: (flags & 4 == 4).then(|| person_of(input)),
        }
    }

    /// The same, without a limit and a place to go on from.
    pub(super) fn whole(self) -> Ask {
        Ask { limit: None, after: None, ..self }
    }

    pub(super) fn limit(&self) -> Option<usize> {
        self.limit
    }

    pub(super) fn query(&self) -> Query<Person> {
        let mut query = match &self.which {
            Which::All => Person::all(),
            Which::Names(from, to) => Person::range(&**from..&**to),
            Which::StartsWith(start) => Person::range(starts_with(start.clone())),
            Which::City(city) => Person::by_city(&**city),
            Which::Cities(from, to) => Person::by_city(&**from..=&**to),
            Which::CitiesAsStart(start) => Person::by_city(starts_with(start.clone())),
            Which::CityAge(city) => Person::by_city_age(leading(city.clone())),
            Which::CityAges(city, from, to) => Person::by_city_age((city.clone(), *from)..(city.clone(), *to)),
            Which::Email(email) => Person::by_email(&**email),
            Which::EveryAge => Person::by_city_age(..),
        };
        if self.reverse {
            query = query.reverse();
        }
        if let Some(limit) = self.limit {
            query = query.limit(limit);
        }
        if let Some(after) = &self.after {
            query = query.after_record(after);
        }
        query
    }

    fn selects(&self, person: &Person) -> bool {
        let (name, city, age) = (&person.name, &person.city, person.age);
        match &self.which {
            Which::All | Which::EveryAge => true,
            Which::Names(from, to) => from <= name && name < to,
            Which::StartsWith(start) => name.starts_with(start),
            Which::City(wanted) => city.as_ref() == Some(wanted),
            Which::Cities(from, to) => city.as_ref().is_some_and(|city| from <= city && city <= to),
            Which::CitiesAsStart(start) => city.as_ref().is_some_and(|city| city.starts_with(start)),
            Which::CityAge(wanted) => city == wanted,
            Which::CityAges(wanted, from, to) => city == wanted && *from <= age && age < *to,
            Which::Email(wanted) => person.email.as_ref() == Some(wanted),
        }
    }

    /// Where a person is in the order that is asked for.
    fn place(&self, person: &Person) -> (Option<String>, i16, String) {
        let name = person.name.clone();
        match &self.which {
            Which::All | Which::Names(..) | Which::StartsWith(_) => (None, 0, name),
            Which::City(_) | Which::Cities(..) | Which::CitiesAsStart(_) => (person.city.clone(), 0, name),
            Which::Email(_) => (person.email.clone(), 0, name),
            Which::CityAge(_) | Which::CityAges(..) | Which::EveryAge => (person.city.clone(), person.age, name),
        }
    }

    fn is_in_index(&self, person: &Person) -> bool {
        match &self.which {
            Which::City(_) | Which::Cities(..) | Which::CitiesAsStart(_) => person.city.is_some(),
            Which::Email(_) => person.email.is_some(),
            _ => true,
        }
    }
}
