//! A parsed Rust file, as the checks ask for it: which paths it names, where it unwraps, which files its
//! `mod` declarations lead to. Looks into macro calls too, token by token.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprLit, File, Item, ItemFn, ItemMod, ItemUse, Lit, Macro, Meta, UseTree,
    visit::{self, Visit},
};

pub(crate) struct Source {
    file: File,
}

impl Source {
    pub(crate) fn parse(text: &str) -> syn::Result<Source> {
        Ok(Source { file: syn::parse_file(text)? })
    }

    /// The paths outside tests that lead somewhere in this crate, from its root: `crate::a::b` in any
    /// module, `super::a` in a module of the first level. `module` is the path of this file's module.
    pub(crate) fn crate_paths(&self, module: &[String]) -> Vec<Vec<String>> {
        let mut paths = Paths { found: Vec::new(), module: module.to_vec(), tests_too: false };
        paths.visit_file(&self.file);
        paths.found.into_iter().filter_map(|(module, path)| resolve(module, &path)).collect()
    }

    /// Every path, in tests too.
    pub(crate) fn all_paths(&self) -> Vec<Vec<String>> {
        let mut paths = Paths { found: Vec::new(), module: Vec::new(), tests_too: true };
        paths.visit_file(&self.file);
        paths.found.into_iter().map(|(_, path)| path).collect()
    }

    pub(crate) fn unwraps_outside_tests(&self) -> bool {
        let mut unwraps = Unwraps { found: false };
        unwraps.visit_file(&self.file);
        unwraps.found
    }
}

/// From the crate's root; `None` if the path leads out of the crate or stays in its own module.
fn resolve(module: Vec<String>, path: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" | "self" => module,
        _ => return None,
    };
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        rest = others;
    }
    base.extend_from_slice(rest);
    (!base.is_empty()).then_some(base)
}

struct Paths {
    /// With the module in which each was found.
    found: Vec<(Vec<String>, Vec<String>)>,
    module: Vec<String>,
    tests_too: bool,
}

impl Paths {
    fn skips(&self, attributes: &[Attribute]) -> bool {
        !self.tests_too && is_test(attributes)
    }

    fn add(&mut self, path: Vec<String>) {
        self.found.push((self.module.clone(), path));
    }

    fn add_tree(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |name: String| [prefix, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.add(with(name.ident.to_string())),
            UseTree::Rename(rename) => self.add(with(rename.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(prefix, tree)),
            _ => self.add(prefix.to_vec()),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !self.skips(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        for path in paths_in(call.tokens.clone()) {
            self.add(path);
        }
        visit::visit_macro(self, call);
    }
}

struct Unwraps {
    found: bool,
}

impl<'ast> Visit<'ast> for Unwraps {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.found |= call.method == "unwrap";
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.found |= paths_in(call.tokens.clone()).iter().any(|path| path == &["unwrap"]);
    }
}

/// The names joined by `::` in a stream of tokens, at any depth.
fn paths_in(tokens: TokenStream) -> Vec<Vec<String>> {
    let mut paths: Vec<Vec<String>> = Vec::new();
    let mut colons = 0;
    let mut continues = false;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                match paths.last_mut() {
                    Some(path) if continues && colons == 2 => path.push(name.to_string()),
                    _ => paths.push(vec![name.to_string()]),
                }
                (colons, continues) = (0, true);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                paths.extend(paths_in(group.stream()));
                (colons, continues) = (0, false);
            }
            _ => (colons, continues) = (0, false),
        }
    }
    paths
}

/// The files that the file's `mod name;` may stand for, those that do not exist too.
pub(crate) fn modules_declared(source: &Source, path: &Path, is_target: bool) -> Vec<PathBuf> {
    let Some(folder) = path.parent() else { return Vec::new() };
    let stem = path.file_stem().unwrap_or_default();
    let own_folder = if is_target || stem == "mod" { folder.to_path_buf() } else { folder.join(stem) };
    let mut files = Vec::new();
    add_modules(&source.file.items, folder, &own_folder, false, &mut files);
    files
}

/// The same for those that only tests see.
pub(crate) fn test_modules_declared(source: &Source, path: &Path, is_target: bool) -> Vec<PathBuf> {
    let Some(folder) = path.parent() else { return Vec::new() };
    let stem = path.file_stem().unwrap_or_default();
    let own_folder = if is_target || stem == "mod" { folder.to_path_buf() } else { folder.join(stem) };
    let mut files = Vec::new();
    add_modules(&source.file.items, folder, &own_folder, true, &mut files);
    files
}

fn add_modules(items: &[Item], folder: &Path, own_folder: &Path, only_tests: bool, files: &mut Vec<PathBuf>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let is_test = is_test(&module.attrs);
        if only_tests && !is_test && module.content.is_none() {
            continue;
        }
        let name = module.ident.to_string();
        match (&module.content, path_attribute(&module.attrs)) {
            (Some((_, items)), _) => add_modules(items, folder, &own_folder.join(name), only_tests && !is_test, files),
            (None, Some(path)) => files.push(folder.join(path)),
            (None, None) => {
                files.push(own_folder.join(format!("{name}.rs")));
                files.push(own_folder.join(name).join("mod.rs"));
            }
        }
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`; not `#[cfg(not(test))]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let names = paths_in(list.tokens.clone());
            let has = |name: &str| names.iter().any(|path| path == &[name]);
            has("test") && !has("not") && !has("any")
        }
        meta => meta.path().segments.last().is_some_and(|segment| segment.ident == "test"),
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(ItemFn { attrs, .. }) => attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
