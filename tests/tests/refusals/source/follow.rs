//! Expressions of an error, followed back to the literals that they are made of.

use std::collections::HashSet;
use std::path::PathBuf;

use syn::visit::Visit;
use syn::{Expr, Lit};

use super::{Body, FORMATS, Function, Source, Texts, arguments, end_of, kept, last_of};

/// Methods of the standard library, whose callers aren't those of ours of the same name.
const COMMON: [&str; 5] = ["get", "insert", "join", "push", "write"];
/// Methods that look for the text that they are given.
const SEARCHES: [&str; 17] = [
    "contains",
    "ends_with",
    "expect",
    "find",
    "get",
    "position",
    "replace",
    "rsplit",
    "rsplit_once",
    "split",
    "split_once",
    "splitn",
    "starts_with",
    "strip_prefix",
    "strip_suffix",
    "trim_end_matches",
    "trim_start_matches",
];
/// Methods of the standard library, which ours of the same name aren't.
const PLAIN: [&str; 14] = [
    "as_str",
    "chars",
    "clone",
    "collect",
    "concat",
    "display",
    "into",
    "iter",
    "join",
    "lines",
    "map",
    "next",
    "to_owned",
    "to_string",
];
/// Functions that show a name or a number as it is.
const SHOWING: [&str; 4] = ["line", "quote", "quoted", "quote_plain"];

/// What a function returns before its end.
struct Returns<'a>(Vec<&'a Expr>);

impl<'a> Visit<'a> for Returns<'a> {
    fn visit_expr_return(&mut self, expr: &'a syn::ExprReturn) {
        self.0.extend(expr.expr.as_deref());
    }

    fn visit_expr_closure(&mut self, _: &'a syn::ExprClosure) {}
}

/// Macros in a block.
struct Macros<'a>(Vec<&'a syn::Macro>);

impl<'a> Visit<'a> for Macros<'a> {
    fn visit_macro(&mut self, tokens: &'a syn::Macro) {
        self.0.push(tokens);
    }
}

/// Follows expressions back to literals.
pub(super) struct Follow<'a, 's> {
    source: &'s Source<'a>,
    paths: &'s [PathBuf],
    /// Expressions and blocks, by the function that they are in.
    seen: HashSet<(usize, usize)>,
    seen_parameters: HashSet<(usize, usize)>,
    seen_fields: HashSet<(String, String)>,
    texts: Texts,
}

impl<'a, 's> Follow<'a, 's> {
    /// The texts of all errors of the source.
    pub(super) fn all(source: &'s Source<'a>, paths: &'s [PathBuf]) -> Texts {
        let mut follow = Follow {
            source,
            paths,
            seen: HashSet::new(),
            seen_parameters: HashSet::new(),
            seen_fields: HashSet::new(),
            texts: Texts::new(),
        };
        for (by, value) in &source.starts {
            follow.expr(*by, value);
        }
        for (by, tokens) in &source.macros {
            follow.format(*by, tokens);
        }
        for (by, text) in &source.said {
            follow.literal(*by, plain(text));
        }
        for name in &source.error_types {
            for (by, value) in source.variants.get(name).into_iter().flatten() {
                follow.expr(*by, value);
            }
            for idx in source.names.get(&format!("Display for {name}")).into_iter().flatten() {
                let Body::Block(block) = source.functions[*idx].body else { continue };
                let mut macros = Macros(Vec::new());
                macros.visit_block(block);
                macros.0.into_iter().for_each(|tokens| follow.format(*idx, tokens));
                follow.block(*idx, block);
            }
        }
        follow.texts
    }

    fn literal(&mut self, by: usize, text: String) {
        let function = &self.source.functions[by];
        let place = (self.paths[function.file].clone(), function.name.clone());
        self.texts.entry(text).or_default().insert(place);
    }

    /// What a name means here: what it is bound to, here and in the functions around, a parameter, or a constant.
    fn name(&mut self, by: usize, name: &str) {
        let mut at = Some(by);
        while let Some(idx) = at {
            let function = &self.source.functions[idx];
            if let Some(values) = function.values.get(name) {
                for value in values {
                    self.expr(idx, value);
                }
                return;
            }
            if let Some(place) = function.parameters.iter().position(|names| names.iter().any(|n| n == name))
            {
                self.parameter(idx, place);
                return;
            }
            at = function.outer;
        }
        // A function in the place of a closure.
        self.called(by, name);
        let file = self.source.functions[by].file;
        let Some(all) = self.source.constants.get(name) else { return };
        let own: Vec<_> = all.iter().filter(|(other, _)| *other == file).collect();
        let chosen = if own.is_empty() && all.len() == 1 { all.iter().collect() } else { own };
        for (_, value) in chosen {
            self.expr(by, value);
        }
    }

    /// How many folders from the root on two files have in common.
    fn shared(&self, a: usize, b: usize) -> usize {
        let pairs = self.paths[a].components().zip(self.paths[b].components());
        pairs.take_while(|(a, b)| a == b).count()
    }

    /// What callers give for a parameter.
    fn parameter(&mut self, function: usize, place: usize) {
        if !self.seen_parameters.insert((function, place)) {
            return;
        }
        let Function { name, file, outer, parameters, .. } = &self.source.functions[function];
        let functions = &self.source.functions;
        let texts = |idx: usize| functions[idx].parameters.iter().map(Vec::is_empty).collect::<Vec<bool>>();
        let others = || self.source.names[name].iter().copied().filter(|idx| *idx != function);
        let Some(calls) = self.source.calls.get(name) else { return };
        for (by, arguments) in calls {
            let by_file = functions[*by].file;
            let shared = |idx: usize| self.shared(functions[idx].file, by_file);
            // Of several that may be meant, the one whose file is nearest.
            let is_nearest = others()
                .filter(|idx| functions[*idx].parameters.len() == parameters.len())
                .all(|idx| shared(idx) < shared(function));
            let is_like_none = others()
                .filter(|idx| texts(*idx) == texts(function))
                .all(|idx| shared(idx) < shared(function));
            let is_near = is_nearest || is_like_none && 4 <= shared(function);
            // `Type::method(this, ..)` has one more.
            let more = arguments.len().saturating_sub(parameters.len());
            let may = by_file == *file
                || is_near && outer.is_none() && more <= 1 && !COMMON.contains(&name.as_str());
            if let Some(value) = arguments.get(place + more).filter(|_| may) {
                self.expr(*by, value);
            }
        }
    }

    /// Where a function that gives text has it from.
    fn called(&mut self, by: usize, name: &str) -> bool {
        if SHOWING.contains(&name) {
            return true;
        }
        let Some(all) = self.source.names.get(name) else { return false };
        let file = self.source.functions[by].file;
        let own: Vec<usize> =
            all.iter().copied().filter(|idx| self.source.functions[*idx].file == file).collect();
        let chosen = if own.is_empty() && all.len() == 1 { all.clone() } else { own };
        for idx in chosen.iter().copied() {
            if self.source.functions[idx].gives_text {
                match self.source.functions[idx].body {
                    Body::Block(block) => self.block(idx, block),
                    Body::Expr(expr) => self.expr(idx, expr),
                }
            }
        }
        !chosen.is_empty()
    }

    fn block(&mut self, by: usize, block: &'a syn::Block) {
        if !self.seen.insert((by, std::ptr::from_ref(block) as usize)) {
            return;
        }
        let mut returns = Returns(Vec::new());
        returns.visit_block(block);
        for value in returns.0 {
            self.expr(by, value);
        }
        self.tail(by, block);
    }

    fn tail(&mut self, by: usize, block: &'a syn::Block) {
        match block.stmts.last() {
            Some(syn::Stmt::Expr(value, None)) => self.expr(by, value),
            Some(syn::Stmt::Macro(tokens)) => self.format(by, &tokens.mac),
            _ => {}
        }
    }

    fn format(&mut self, by: usize, tokens: &'a syn::Macro) {
        if !FORMATS.contains(&&*last_of(&tokens.path)) {
            return;
        }
        let name = last_of(&tokens.path);
        let template = match name.as_str() {
            "format" | "format_args" => Some(0),
            "write" | "writeln" => Some(1),
            _ => None,
        };
        for (idx, value) in kept(arguments(tokens)).iter().enumerate() {
            if let (true, Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. })) =
                (template == Some(idx), value)
            {
                self.literal(by, text.value());
                for name in inline_names(&text.value()) {
                    self.name(by, &name);
                }
                continue;
            }
            let value = if let Expr::Assign(named) = value { &named.right } else { value };
            self.expr(by, value);
        }
    }

    fn expr(&mut self, by: usize, expr: &'a Expr) {
        if !self.seen.insert((by, std::ptr::from_ref(expr) as usize)) {
            return;
        }
        match expr {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => self.literal(by, plain(&text.value())),
            Expr::Macro(tokens) => self.format(by, &tokens.mac),
            Expr::Path(path) => {
                let end = end_of(&path.path);
                let is_known = self.source.constants.contains_key(&end);
                self.name(by, if is_known { &end } else { end.rsplit(':').next().unwrap_or("") });
            }
            Expr::Field(field) => {
                let syn::Member::Named(name) = &field.member else { return self.expr(by, &field.base) };
                let name = name.to_string();
                let file = self.source.functions[by].file;
                let Some(all) = self.source.text_fields.get(&name) else { return };
                let own: Vec<&String> = all.iter().filter(|(f, _)| *f == file).map(|(_, of)| of).collect();
                let chosen: Vec<&String> = if own.is_empty() && all.len() == 1 {
                    all.iter().map(|(_, of)| of).collect()
                } else {
                    own
                };
                for of in chosen {
                    if self.seen_fields.insert((of.clone(), name.clone())) {
                        for (other, by, value) in self.source.fields.get(&name).into_iter().flatten() {
                            if other == of {
                                self.expr(*by, value);
                            }
                        }
                    }
                }
            }
            Expr::Call(call) => {
                let Expr::Path(path) = &*call.func else { return };
                let (end, name) = (end_of(&path.path), last_of(&path.path));
                let is_method = self.source.names.contains_key(&end);
                let name = if is_method { end } else { name };
                let is_known = self.called(by, &name);
                let makes = !name.contains(':') && name.starts_with(char::is_uppercase)
                    || matches!(&*name, "from" | "new" | "of");
                let gives = is_known && self.gives_text(by, &name);
                if !is_known || makes || gives {
                    call.args.iter().for_each(|value| self.expr(by, value));
                }
            }
            Expr::MethodCall(call) => {
                let name = call.method.to_string();
                if SEARCHES.contains(&&*name) {
                    if matches!(&*name, "replace" | "get" | "expect" | "find") {
                        self.expr(by, &call.receiver);
                    }
                    return;
                }
                let is_known = !PLAIN.contains(&&*name) && self.called(by, &name);
                if !is_known || self.gives_text(by, &name) {
                    self.expr(by, &call.receiver);
                    call.args.iter().for_each(|value| self.expr(by, value));
                }
            }
            Expr::If(expr) => {
                self.tail(by, &expr.then_branch);
                if let Some((_, other)) = &expr.else_branch {
                    self.expr(by, other);
                }
            }
            Expr::Match(expr) => expr.arms.iter().for_each(|arm| self.expr(by, &arm.body)),
            Expr::Block(expr) => self.tail(by, &expr.block),
            Expr::Unsafe(expr) => self.tail(by, &expr.block),
            Expr::Closure(closure) => self.expr(by, &closure.body),
            Expr::Return(expr) => expr.expr.iter().for_each(|value| self.expr(by, value)),
            Expr::Reference(expr) => self.expr(by, &expr.expr),
            Expr::Paren(expr) => self.expr(by, &expr.expr),
            Expr::Group(expr) => self.expr(by, &expr.expr),
            Expr::Try(expr) => self.expr(by, &expr.expr),
            Expr::Cast(expr) => self.expr(by, &expr.expr),
            Expr::Unary(expr) => self.expr(by, &expr.expr),
            Expr::Index(expr) => self.expr(by, &expr.expr),
            Expr::Array(expr) => expr.elems.iter().for_each(|value| self.expr(by, value)),
            Expr::Tuple(expr) => expr.elems.iter().for_each(|value| self.expr(by, value)),
            Expr::Repeat(expr) => self.expr(by, &expr.expr),
            Expr::Binary(expr) if matches!(expr.op, syn::BinOp::Add(_)) => {
                self.expr(by, &expr.left);
                self.expr(by, &expr.right);
            }
            Expr::Struct(expr) => expr.fields.iter().for_each(|field| self.expr(by, &field.expr)),
            _ => {}
        }
    }

    fn gives_text(&self, by: usize, name: &str) -> bool {
        let file = self.source.functions[by].file;
        let Some(all) = self.source.names.get(name) else { return false };
        let mut own = all.iter().filter(|idx| self.source.functions[**idx].file == file).peekable();
        match own.peek() {
            Some(_) => own.any(|idx| self.source.functions[*idx].gives_text),
            None => all.iter().any(|idx| self.source.functions[*idx].gives_text),
        }
    }
}

/// A text that isn't formatted, as one that is.
fn plain(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

/// `{name}` and `{name:?}` of a format string.
fn inline_names(text: &str) -> Vec<String> {
    let text = text.replace("{{", "").replace("}}", "");
    let parts = text.split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next());
    parts.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
