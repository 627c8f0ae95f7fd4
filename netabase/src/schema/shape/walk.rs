//! What is known while a type is traced, over many passes from its root.
//!
//! One pass makes one value, and so sees one variant of each enum and one outcome of each choice. What it learns stays
//! here; passes go on until every variant was visited. A pass that meets a refusal notes what to do otherwise
//! (`Signal::Retry`) and is cut off by an error, whatever a user's `Deserialize` makes of that error on its way up.

use std::collections::{BTreeMap, BTreeSet};

use super::sample::ROUNDS;
use super::{Field, Form, Kind, Shape, TypeShape, Variant};

/// A place in a nominal type (variant 0 of a struct), or below the root: field, then steps into options, sequences …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) owner: Option<(usize, usize)>,
    pub(super) steps: Vec<u32>,
}

impl Place {
    pub(super) fn root() -> Place {
        Place { owner: None, steps: Vec::new() }
    }

    pub(super) fn step(&self, step: u32) -> Place {
        let mut place = self.clone();
        place.steps.push(step);
        place
    }

    pub(super) fn position(&self) -> u32 {
        self.steps.last().copied().unwrap_or(0)
    }
}

/// What makes two uses of a nominal type the same: serde's name and fields, the visitor, the size of the value.
///
/// The visitor's name has the module and the type arguments; it alone would confuse types of one name in two blocks.
pub(super) type Identity = (&'static str, &'static str, &'static [&'static str], usize);

/// Why the pass is being cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// It is not.
    None,
    /// Something was noted: start over.
    Retry,
    /// No value can be made here; the nearest choice around it must choose otherwise.
    Dead,
    /// The type cannot be stored.
    Refused(String),
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// An enum's variants that need no further visit.
    seen: Vec<bool>,
    /// The variant to take where any value will do.
    sample: usize,
}

#[derive(Debug)]
pub(super) struct Walk {
    pub(super) types: Vec<Known>,
    identities: BTreeMap<Identity, usize>,
    attempts: BTreeMap<Place, usize>,
    /// Choices known to lead nowhere, when tracing and when any value will do.
    dead: BTreeSet<(bool, Place)>,
    pub(super) signal: Signal,
    /// Nominal types traced in this pass: one visit each is enough.
    visited: BTreeSet<usize>,
    pub(super) tracing: Vec<usize>,
    pub(super) sampling: Vec<usize>,
    pub(super) progress: bool,
}

impl Walk {
    pub(super) fn new() -> Walk {
        Walk {
            types: Vec::new(),
            identities: BTreeMap::new(),
            attempts: BTreeMap::new(),
            dead: BTreeSet::new(),
            signal: Signal::None,
            visited: BTreeSet::new(),
            tracing: Vec::new(),
            sampling: Vec::new(),
            progress: false,
        }
    }

    pub(super) fn begin_pass(&mut self) {
        self.signal = Signal::None;
        self.visited.clear();
        self.tracing.clear();
        self.sampling.clear();
        self.progress = false;
    }

    pub(super) fn structure(&mut self, identity: Identity, fields: &[&str]) -> usize {
        let field = |name: &&str| Field { name: (*name).to_owned(), form: Form::Unseen };
        self.intern(identity, || (Kind::Struct(fields.iter().map(field).collect()), 0))
    }

    pub(super) fn enumeration(&mut self, identity: Identity, variants: &[&str]) -> usize {
        let variant = |name: &&str| Variant { name: (*name).to_owned(), fields: Vec::new() };
        self.intern(identity, || (Kind::Enum(variants.iter().map(variant).collect()), variants.len()))
    }

    fn intern(&mut self, identity: Identity, kind: impl FnOnce() -> (Kind, usize)) -> usize {
        *self.identities.entry(identity).or_insert_with(|| {
            let (kind, variants) = kind();
            self.types.push(Known { name: identity.1, kind, seen: vec![false; variants], sample: 0 });
            self.types.len() - 1
        })
    }

    /// Whether this visit to a nominal type is to look into it.
    pub(super) fn visit(&mut self, id: usize) -> bool {
        self.visited.insert(id)
    }

    /// Which sample to offer here.
    pub(super) fn round(&self, place: &Place, around: usize) -> usize {
        around.max(self.attempts.get(place).copied().unwrap_or(0))
    }

    /// What was offered at this place came back as an error: offer the next, or give up.
    pub(super) fn rejected(&mut self, place: &Place) {
        if self.signal == Signal::None {
            let attempts = self.attempts.entry(place.clone()).or_default();
            *attempts += 1;
            self.signal = if *attempts < ROUNDS { Signal::Retry } else { Signal::Dead };
        }
    }

    /// A choice at this place (an element or none) led nowhere: choose otherwise from now on.
    pub(super) fn abandon(&mut self, tracing: bool, place: &Place) {
        if self.signal == Signal::Dead {
            self.dead.insert((tracing, place.clone()));
            self.signal = Signal::Retry;
        }
    }

    pub(super) fn is_abandoned(&self, tracing: bool, place: &Place) -> bool {
        self.dead.contains(&(true, place.clone())) || (!tracing && self.dead.contains(&(false, place.clone())))
    }

    /// The variant to look into next; none if there is nothing left to see.
    pub(super) fn next_variant(&self, id: usize) -> Option<usize> {
        let known = &self.types[id];
        if let Some(unseen) = known.seen.iter().position(|seen| !seen) {
            return Some(unseen);
        }
        // All were seen, but one may lead to an enum that still has something to show.
        let Kind::Enum(variants) = &known.kind else { return None };
        variants.iter().enumerate().position(|(index, variant)| {
            let place = Place { owner: Some((id, index)), steps: Vec::new() };
            let mut passed: BTreeSet<usize> = self.tracing.iter().copied().chain([id]).collect();
            !self.is_abandoned(true, &place)
                && variant.fields.iter().any(|field| self.leads_on(&field.form, &mut passed))
        })
    }

    fn leads_on(&self, form: &Form, passed: &mut BTreeSet<usize>) -> bool {
        match form {
            Form::Type(id) => {
                let known = &self.types[*id as usize];
                passed.insert(*id as usize)
                    && (known.seen.iter().any(|seen| !seen)
                        || match &known.kind {
                            Kind::Struct(fields) => fields.iter().any(|field| self.leads_on(&field.form, passed)),
                            Kind::Enum(variants) => variants
                                .iter()
                                .flat_map(|variant| &variant.fields)
                                .any(|field| self.leads_on(&field.form, passed)),
                        })
            }
            Form::Option(a) | Form::Seq(a) | Form::Array(_, a) => self.leads_on(a, passed),
            Form::Map(a, b) => self.leads_on(a, passed) || self.leads_on(b, passed),
            Form::Tuple(forms) | Form::OneOf(forms) => forms.iter().any(|form| self.leads_on(form, passed)),
            Form::Leaf(_) | Form::Unseen => false,
        }
    }

    pub(super) fn saw_variant(&mut self, id: usize, variant: usize) {
        if let Some(seen) = self.types[id].seen.get_mut(variant) {
            self.progress |= !*seen;
            *seen = true;
        }
    }

    pub(super) fn sample_variant(&self, id: usize) -> Option<usize> {
        let known = &self.types[id];
        (known.sample < known.seen.len()).then_some(known.sample)
    }

    /// The variant taken as a sample led nowhere: take the next one from now on.
    pub(super) fn next_sample(&mut self, id: usize) {
        if self.signal == Signal::Dead {
            self.types[id].sample += 1;
            if self.sample_variant(id).is_some() {
                self.signal = Signal::Retry;
            }
        }
    }

    /// Adds what was seen of a struct, or of a variant.
    pub(super) fn saw_fields(&mut self, id: usize, variant: usize, seen: Vec<Field>) {
        let fields = match &mut self.types[id].kind {
            Kind::Struct(fields) => fields,
            Kind::Enum(variants) => match variants.get_mut(variant) {
                Some(variant) => &mut variant.fields,
                None => return,
            },
        };
        for (index, field) in seen.into_iter().enumerate() {
            match fields.get_mut(index) {
                Some(known) => known.form.merge(field.form),
                None => fields.push(field),
            }
        }
    }

    /// Refuses the type, naming the way to the place.
    pub(super) fn refuse(&mut self, reason: &str) {
        let way: Vec<_> = self.tracing.iter().map(|&id| format!("`{}`", self.types[id].name)).collect();
        self.signal = Signal::Refused(format!("in {}: {reason}", way.join(" > ")));
    }

    /// The shape seen, with the types numbered as a walk from the root meets them.
    pub(super) fn finish(self, mut root: Form) -> Shape {
        let mut numbers = BTreeMap::new();
        let mut order = Vec::new();
        number(&mut root, &mut numbers, &mut order);
        let mut types: Vec<TypeShape> = Vec::new();
        while let Some(&id) = order.get(types.len()) {
            let known: &Known = &self.types[id];
            let mut kind = known.kind.clone();
            for form in kind.forms_mut() {
                number(form, &mut numbers, &mut order);
            }
            types.push(TypeShape { name: known.name.to_owned(), kind });
        }
        Shape { root, types }
    }
}

/// Gives types their final numbers, and folds tuples of equal elements.
fn number(form: &mut Form, numbers: &mut BTreeMap<u32, u32>, order: &mut Vec<usize>) {
    if let Form::Type(id) = form {
        *id = *numbers.entry(*id).or_insert_with(|| {
            order.push(*id as usize);
            order.len() as u32 - 1
        });
    }
    for child in form.children_mut() {
        number(child, numbers, order);
    }
    if let Form::Tuple(forms) = form
        && let [first, rest @ ..] = forms.as_slice()
        && !rest.is_empty()
        && rest.iter().all(|other| other == first)
    {
        *form = Form::Array(forms.len() as u64, Box::new(first.clone()));
    }
}
