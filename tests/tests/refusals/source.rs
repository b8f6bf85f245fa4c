//! The texts of refusals in the source: the string literals that go into an error, found by the syntax trees.
//!
//! From where an error is made (`Err(..)`, `Error::new(..)`, `Fault { .. }`, `faults.push(..)`, `ok_or`, `map_err`, a helper that is
//! called `fail`) expressions are followed back: into variables, constants, fields and functions that give text, and into what callers
//! hand over for a parameter. A name is looked up in its file first. What says "expected" is a refusal's text wherever it is, so that
//! an error that is made in a new way isn't missed.

#[path = "source/follow.rs"]
mod follow;
#[path = "source/read.rs"]
mod read;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use self::read::Reader;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, Pat, Token};

/// Types that hold text.
const TEXTS: [&str; 5] = ["Cow", "Display", "Fault", "String", "str"];
/// Macros that make text of their arguments.
const FORMATS: [&str; 6] = ["concat", "format", "format_args", "vec", "write", "writeln"];

/// A literal: which files have it, and the function in one of them.
pub(crate) type Texts = BTreeMap<String, BTreeSet<(PathBuf, String)>>;

/// The texts of refusals in these files, by their paths.
pub(crate) fn texts(files: Vec<(PathBuf, String)>) -> Texts {
    let (paths, trees): (Vec<PathBuf>, Vec<syn::File>) = files
        .into_iter()
        .map(|(path, text)| {
            let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, tree)
        })
        .unzip();
    let mut source = Source::default();
    for (file, tree) in trees.iter().enumerate() {
        Reader::new(&mut source, file).visit_file(tree);
    }
    follow::Follow::all(&source, &paths)
}

/// A function, or a closure that has a name.
struct Function<'a> {
    name: String,
    file: usize,
    /// The names that each parameter binds; without `self`.
    parameters: Vec<Vec<String>>,
    gives_text: bool,
    body: Body<'a>,
    /// What its names stand for.
    values: HashMap<String, Vec<&'a Expr>>,
    /// Closures that are called by a name, and who encloses them.
    outer: Option<usize>,
}

#[derive(Clone, Copy)]
enum Body<'a> {
    Block(&'a syn::Block),
    Expr(&'a Expr),
}

/// Calls by their names: who calls, from which place of the arguments on, with what.
type Calls<'a> = HashMap<String, Vec<(usize, Vec<&'a Expr>)>>;

/// All that the files define.
#[derive(Default)]
struct Source<'a> {
    functions: Vec<Function<'a>>,
    names: HashMap<String, Vec<usize>>,
    /// Constants that hold text, by name and, in an `impl`, by `Type::NAME` too.
    constants: HashMap<String, Vec<(usize, &'a Expr)>>,
    /// Values of fields of structs: of which struct, by whom, what.
    fields: HashMap<String, Vec<(String, usize, &'a Expr)>>,
    calls: Calls<'a>,
    /// Where an error is made.
    starts: Vec<(usize, &'a Expr)>,
    /// Macros that say what was expected.
    macros: Vec<(usize, &'a syn::Macro)>,
    /// Literals that do, wherever they are.
    said: Vec<(usize, String)>,
    /// Fields that hold text.
    text_fields: HashMap<String, HashSet<(usize, String)>>,
    /// Arguments of `Type::..(..)`, which makes an error if the type is one of errors.
    variants: HashMap<String, Vec<(usize, &'a Expr)>>,
    /// Types behind `Result<_, ..>`, whose `Display` is a message.
    error_types: HashSet<String>,
}

/// `#[cfg(test)]`, `#[test]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::NameValue(_) => false,
    })
}

/// All names in a type or an expression.
fn names(read: impl FnOnce(&mut Names)) -> Vec<String> {
    let mut names = Names(Vec::new());
    read(&mut names);
    names.0
}

struct Names(Vec<String>);

impl<'a> Visit<'a> for Names {
    fn visit_ident(&mut self, name: &'a syn::Ident) {
        self.0.push(name.to_string());
    }
}

/// `a::b::c` -> `b::c`.
fn end_of(path: &syn::Path) -> String {
    let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    names[names.len().saturating_sub(2)..].join("::")
}

fn last_of(path: &syn::Path) -> String {
    path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}

/// The names that a pattern binds.
fn bound(pattern: &Pat) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'a> Visit<'a> for Names {
        // An error was made elsewhere.
        fn visit_pat_tuple_struct(&mut self, pattern: &'a syn::PatTupleStruct) {
            if last_of(&pattern.path) != "Err" {
                visit::visit_pat_tuple_struct(self, pattern);
            }
        }

        fn visit_pat_ident(&mut self, pattern: &'a syn::PatIdent) {
            self.0.push(pattern.ident.to_string());
            visit::visit_pat_ident(self, pattern);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pattern);
    names.0
}

fn is_text(of: &syn::Type) -> bool {
    names(|names| names.visit_type(of)).iter().any(|name| TEXTS.contains(&name.as_str()))
}

/// `E` of `Result<T, E>`.
fn error_of(output: &syn::ReturnType) -> Option<String> {
    let syn::ReturnType::Type(_, output) = output else { return None };
    let syn::Type::Path(output) = &**output else { return None };
    let last = output.path.segments.last()?;
    let syn::PathArguments::AngleBracketed(types) = &last.arguments else { return None };
    let error = types.args.iter().nth(1)?;
    names(|names| names.visit_generic_argument(error)).pop()
}

fn arguments(tokens: &syn::Macro) -> Vec<Expr> {
    let parsed = tokens.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
    parsed.map(|list| list.into_iter().collect()).unwrap_or_default()
}

/// Leaks what is in macros, so that all expressions live as long as the files do: a test ends soon.
fn kept(expressions: Vec<Expr>) -> &'static [Expr] {
    Box::leak(expressions.into_boxed_slice())
}

/// Whether a text is a refusal's by its words alone: whoever makes it in a new way isn't missed.
fn says_expected(text: &str) -> bool {
    text.contains("expected ") || text.starts_with("found ")
}
