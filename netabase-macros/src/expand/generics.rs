//! The generics of key types: those of their record as far as they name them.

use proc_macro2::{Ident, Span};
use syn::{GenericParam, Generics, Type, WherePredicate, parse_quote};

use crate::check::{self, mentions};
use crate::runtime_path::Runtime;

/// The parameters that these types name, with what is said of them alone and what a key needs of them.
pub(super) fn used(declared: &Generics, types: &[&Type], runtime: &Runtime) -> Generics {
    let private = runtime.private();
    let mut used = Generics::default();
    // `Self` is the record there.
    let mut others = vec![Ident::new("Self", Span::call_site())];
    let mut said: Vec<WherePredicate> = Vec::new();
    for parameter in &declared.params {
        let mut parameter = parameter.clone();
        let name = match &mut parameter {
            GenericParam::Type(parameter) => {
                let (name, bounds) = (parameter.ident.clone(), std::mem::take(&mut parameter.bounds));
                parameter.colon_token = None;
                if !bounds.is_empty() {
                    said.push(parse_quote!(#name: #bounds));
                }
                said.push(parse_quote!(#name: 'static));
                name
            }
            GenericParam::Const(parameter) => parameter.ident.clone(),
            GenericParam::Lifetime(_) => continue,
        };
        if types.iter().any(|ty| mentions(ty, std::slice::from_ref(&name))) {
            used.params.push(parameter);
        } else {
            others.push(name);
        }
    }
    if used.params.is_empty() {
        return used;
    }
    let names = check::parameters(&used);
    said.extend(declared.where_clause.iter().flat_map(|clause| clause.predicates.iter().cloned()));
    said.retain(|predicate| mentions(predicate, &names) && !mentions(predicate, &others));
    // What a constant makes of a type, `[u8; N]`, is a key or is none.
    let names: Vec<Ident> = used.type_params().map(|parameter| parameter.ident.clone()).collect();
    said.extend(types.iter().filter(|ty| mentions(*ty, &names)).map(|ty| parse_quote!(#ty: #private::Key)));
    used.make_where_clause().predicates.extend(said);
    used
}
