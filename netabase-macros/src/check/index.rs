//! Indexes: which fields they are over, what they are called, and that no two are called the same.

use proc_macro2::Ident;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::{GenericArgument, Member, PathArguments, Type};

use super::{KEY_FIELDS_MAX, names, types};
use crate::attr;
use crate::diagnostics::Mistakes;
use crate::model::{Field, Index, Indexed, named, stored_name};

/// The index that is written on a field. `None` if it has no name and the field has none either.
pub(super) fn of_field(field: &Field, record: &Ident, written: &attr::Field, mistakes: &mut Mistakes) -> Option<Index> {
    let index = written.unique.as_ref().or(written.index.as_ref())?;
    let given = [&written.unique, &written.index].into_iter().flatten().find_map(|index| index.function.clone());
    let function = match (given, &field.member) {
        (Some(function), _) => function,
        (None, Member::Named(ident)) => format_ident!("by_{}", ident.unraw(), span = ident.span()),
        (None, Member::Unnamed(_)) => {
            let word = &index.word;
            if !index.is_broken {
                let message = format!(
                    "a field without a name needs one for its index: write `{word}(name = \"by_…\")`; the function is called so"
                );
                mistakes.at(word, message);
            }
            return None;
        }
    };
    let indexed = match option_of(&field.ty) {
        Some(inner) => Indexed::IfSome(field.clone(), Box::new(inner.clone())),
        None => Indexed::Always(field.clone()),
    };
    let key_type = names::index_key_type(record, &stored_name(&function));
    Some(Index { function, key_type, indexed, unique: written.unique.is_some() })
}

/// An `Option` must be written as one: an alias of it is refused where the types are known (see `expand/index`).
fn option_of(ty: &Type) -> Option<&Type> {
    if let Type::Path(path) = types::unbracketed(ty)
        && path.qself.is_none()
        && let Some(last) = path.path.segments.last()
        && last.ident == "Option"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let (1, Some(GenericArgument::Type(inner))) = (arguments.args.len(), arguments.args.first())
    {
        return Some(inner);
    }
    None
}

/// Whether one of these indexes names the field.
pub(super) fn is_named(indexes: &[attr::CompoundIndex], field: &Member) -> bool {
    let lists = indexes.iter().filter_map(|index| index.fields.as_ref());
    lists.flat_map(|list| &list.fields).any(|listed| named(listed) == named(field))
}

/// Whether this is the index that is written on the field.
pub(super) fn is_over(index: &Index, field: &Field) -> bool {
    match &index.indexed {
        Indexed::Always(indexed) | Indexed::IfSome(indexed, _) => indexed.member == field.member,
        Indexed::Several(_) | Indexed::Unknown => false,
    }
}

/// The indexes over several fields, in the order of their names: that of the lines must not matter to stored data.
pub(super) fn compound(
    written: Vec<attr::CompoundIndex>,
    record: &Ident,
    all: &[Field],
    mistakes: &mut Mistakes,
) -> Vec<Index> {
    let mut indexes: Vec<Index> = written
        .into_iter()
        .filter_map(|index| {
            let fields = index.fields.as_ref().and_then(|list| fields(list, &index, record, all, mistakes));
            let indexed = fields.map_or(Indexed::Unknown, Indexed::Several);
            let function = index.function?;
            let key_type = names::index_key_type(record, &stored_name(&function));
            Some(Index { function, key_type, indexed, unique: false })
        })
        .collect();
    indexes.sort_by_key(Index::stored_name);
    indexes
}

/// The fields that are meant; `None` where that cannot be guessed.
fn fields(
    list: &attr::FieldList,
    index: &attr::CompoundIndex,
    record: &Ident,
    all: &[Field],
    mistakes: &mut Mistakes,
) -> Option<Vec<Field>> {
    let mut found: Vec<Field> = Vec::new();
    let mut is_broken = list.is_broken;
    for name in &list.fields {
        match super::find(&named(name), name, record, all, mistakes) {
            Some(field) if found.iter().any(|other| other.member == field.member) => {
                let shown = named(name);
                mistakes.at(name, format!("`{shown}` is in this index already: remove one"));
                is_broken = true;
            }
            Some(field) => found.push(field.clone()),
            None => is_broken = true,
        }
    }
    if is_broken {
        return None;
    }
    match found.as_slice() {
        [] => {
            let message = "this index has no fields: name two or more of the struct's, in the order to search and sort by, such as `fields(city, balance)`";
            mistakes.at(&list.word, message);
        }
        [field] => {
            let (field, name) = (field.name(), as_on_field(index));
            let message =
                format!("an index over one field is written on the field: `#[netabase({name})]` on `{field}`");
            mistakes.at(&list.fields[0], message);
        }
        several if several.len() > KEY_FIELDS_MAX => {
            let message = format!("an index has at most {KEY_FIELDS_MAX} fields: remove some");
            mistakes.at(&list.fields[KEY_FIELDS_MAX], message);
        }
        _ => return Some(found),
    }
    None
}

/// `index(name = "by_town")`, as it is written on a field.
fn as_on_field(index: &attr::CompoundIndex) -> String {
    let word = &index.word;
    index.function.as_ref().map_or_else(|| word.to_string(), |function| format!("{word}(name = \"{function}\")"))
}

/// Reports and removes each index that is called as another one is, or whose key type is.
pub(super) fn distinct(indexes: &mut Vec<Index>, mistakes: &mut Mistakes) {
    // Of two it is the one whose name was given that can easily have another, so those come last.
    let (implied, given): (Vec<_>, Vec<_>) =
        (0..indexes.len()).partition(|&position| is_named_after_its_field(&indexes[position]));
    let mut kept: Vec<usize> = Vec::new();
    for position in implied.into_iter().chain(given) {
        let index = &indexes[position];
        let first = kept.iter().map(|&kept| &indexes[kept]).find(|other| other.key_type == index.key_type);
        let Some(other) = first else {
            kept.push(position);
            continue;
        };
        let (function, key) = (&index.function, &index.key_type);
        let message = if other.function == *function {
            format!("there is another index `{function}`: write another name, `name = \"by_…\"`")
        } else {
            let other = &other.function;
            format!("this index has the key type `{key}`, as `{other}` has: write another name, `name = \"by_…\"`")
        };
        mistakes.at(function, message);
    }
    let mut position = 0..;
    indexes.retain(|_| position.next().is_some_and(|position| kept.contains(&position)));
}

/// Reports each type of the user's that is called as the key type of an index over it.
pub(super) fn named_apart(indexes: &mut [Index], record: &Ident, mistakes: &mut Mistakes) {
    for index in indexes {
        let instead = format!("{record}{}", names::pascal_case(&index.stored_name()));
        let name = index.key_type.clone();
        index.key_type = names::free(name, &index.types(), " for this index", &instead, mistakes);
    }
}

fn is_named_after_its_field(index: &Index) -> bool {
    match &index.indexed {
        Indexed::Always(field) | Indexed::IfSome(field, _) => field.name() == index.stored_name(),
        Indexed::Several(_) | Indexed::Unknown => false,
    }
}
