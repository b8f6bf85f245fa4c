//! What files define: functions with what their names stand for, constants, fields, calls, and where an error is made.

use std::collections::HashMap;

use syn::visit::{self, Visit};
use syn::{Expr, Lit, Pat};

use super::{
    Body, FORMATS, Function, Source, TEXTS, arguments, bound, end_of, error_of, is_test, is_text, kept,
    last_of, names, says_expected,
};

/// Functions that make an error of what they are given, by the ends of their paths.
const MAKERS: [&str; 8] = [
    "Error::new",
    "Error::other",
    "Error::custom",
    "Error::new_spanned",
    "Place::named",
    "Place::flag",
    "fail",
    "usage",
];
/// Methods whose argument is the error in place of a value.
const ERROR_METHODS: [&str; 6] = ["fault", "fail", "map_err", "ok_or", "ok_or_else", "wrong"];

/// Reads the files, one after the other.
pub(super) struct Reader<'a, 's> {
    source: &'s mut Source<'a>,
    file: usize,
    /// The functions around what is read.
    open: Vec<usize>,
    /// `Trait for Type` of the `impl` around.
    of_type: String,
}

impl<'a, 's> Reader<'a, 's> {
    pub(super) fn new(source: &'s mut Source<'a>, file: usize) -> Reader<'a, 's> {
        Reader { source, file, open: Vec::new(), of_type: String::new() }
    }

    fn function(&mut self, function: Function<'a>) -> usize {
        let idx = self.source.functions.len();
        self.source.names.entry(function.name.clone()).or_default().push(idx);
        self.source.functions.push(function);
        idx
    }

    fn enter(&mut self, signature: &syn::Signature, block: &'a syn::Block) {
        let parameters = signature.inputs.iter().filter_map(|input| match input {
            // A number that is shown isn't a text.
            syn::FnArg::Typed(input) if !is_text(&input.ty) => Some(Vec::new()),
            syn::FnArg::Typed(input) => Some(bound(&input.pat)),
            syn::FnArg::Receiver(_) => None,
        });
        let output = names(|names| names.visit_return_type(&signature.output));
        let is_result = output.iter().any(|name| name == "Result");
        if is_result {
            self.source.error_types.extend(error_of(&signature.output));
        }
        let gives_text = output.iter().any(|name| TEXTS.contains(&name.as_str()) || name == "Error");
        let function = Function {
            name: signature.ident.to_string(),
            file: self.file,
            parameters: parameters.collect(),
            gives_text: gives_text && !is_result,
            body: Body::Block(block),
            values: HashMap::new(),
            outer: None,
        };
        let idx = self.function(function);
        self.open.push(idx);
        visit::visit_block(self, block);
        self.open.pop();
    }

    fn constant(&mut self, name: String, of: &syn::Type, value: &'a Expr) {
        if is_text(of) {
            self.source.constants.entry(name).or_default().push((self.file, value));
        }
    }

    fn own_type(&self) -> String {
        self.of_type.rsplit("for ").next().unwrap_or("").to_owned()
    }

    fn here(&self) -> usize {
        *self.open.last().expect("expressions lie in functions")
    }

    fn bind(&mut self, names: Vec<String>, value: &'a Expr) {
        let here = self.here();
        for name in names {
            self.source.functions[here].values.entry(name).or_default().push(value);
        }
    }

    fn read_macro(&mut self, tokens: &'a syn::Macro) {
        if self.open.is_empty() {
            return;
        }
        let list = kept(arguments(tokens));
        let name = last_of(&tokens.path);
        if let Some(Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. })) = list.first()
            && FORMATS.contains(&name.as_str())
            && says_expected(&text.value())
        {
            let here = self.here();
            self.source.macros.push((here, tokens));
        }
        if let ("write" | "writeln", Some(Expr::Path(path))) = (name.as_str(), list.first()) {
            let mac = syn::Macro {
                path: syn::parse_str("write").expect("it is a path"),
                bang_token: syn::token::Not::default(),
                delimiter: syn::MacroDelimiter::Paren(syn::token::Paren::default()),
                tokens: tokens.tokens.clone(),
            };
            let whole = Expr::Macro(syn::ExprMacro { attrs: Vec::new(), mac });
            self.bind(vec![last_of(&path.path)], &kept(vec![whole])[0]);
        }
        // Asserted is what no user can bring about.
        if !name.contains("assert") && !matches!(&*name, "panic" | "unreachable") {
            let is_template = |idx: usize| match name.as_str() {
                "format" | "format_args" => idx == 0,
                "write" | "writeln" => idx == 1,
                _ => false,
            };
            let values = list.iter().enumerate().filter(|(idx, _)| !is_template(*idx));
            values.for_each(|(_, value)| self.visit_expr(value));
        }
    }
}

impl<'a> Visit<'a> for Reader<'a, '_> {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if is_test(&item.attrs) {
            return;
        }
        let of = item.trait_.as_ref().map(|(_, path, _)| last_of(path)).unwrap_or_default();
        let own = names(|names| names.visit_type(&item.self_ty)).into_iter().next().unwrap_or_default();
        self.of_type = format!("{of} for {own}");
        visit::visit_item_impl(self, item);
        self.of_type.clear();
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.enter(&item.sig, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if is_test(&item.attrs) {
            return;
        }
        let before = self.source.functions.len();
        self.enter(&item.sig, &item.block);
        let of = self.own_type();
        self.source.names.entry(format!("{of}::{}", item.sig.ident)).or_default().push(before);
        if self.of_type.starts_with("Display for ") {
            // Known by its type, since `to_string` says nothing.
            let name = self.of_type.clone();
            self.source.names.entry(name).or_default().push(before);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.enter(&item.sig, block);
        }
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        if !is_test(&item.attrs) {
            self.constant(item.ident.to_string(), &item.ty, &item.expr);
        }
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.constant(item.ident.to_string(), &item.ty, &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        let of = self.own_type();
        self.constant(format!("{of}::{}", item.ident), &item.ty, &item.expr);
        self.constant(item.ident.to_string(), &item.ty, &item.expr);
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        for field in &item.fields {
            if let Some(name) = field.ident.as_ref().filter(|_| is_text(&field.ty)) {
                let of = (self.file, item.ident.to_string());
                self.source.text_fields.entry(name.to_string()).or_default().insert(of);
            }
        }
    }

    fn visit_local(&mut self, local: &'a syn::Local) {
        let Some(init) = &local.init else { return };
        if let (Pat::Ident(name), Expr::Closure(closure)) = (&local.pat, &*init.expr) {
            let function = Function {
                name: name.ident.to_string(),
                file: self.file,
                parameters: closure.inputs.iter().map(bound).collect(),
                gives_text: true,
                body: Body::Expr(&closure.body),
                values: HashMap::new(),
                outer: self.open.last().copied(),
            };
            let idx = self.function(function);
            self.open.push(idx);
            self.visit_expr(&closure.body);
            self.open.pop();
            return;
        }
        self.bind(bound(&local.pat), &init.expr);
        visit::visit_local(self, local);
    }

    fn visit_expr_let(&mut self, expr: &'a syn::ExprLet) {
        self.bind(bound(&expr.pat), &expr.expr);
        visit::visit_expr_let(self, expr);
    }

    fn visit_expr_for_loop(&mut self, expr: &'a syn::ExprForLoop) {
        self.bind(bound(&expr.pat), &expr.expr);
        visit::visit_expr_for_loop(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'a syn::ExprMatch) {
        for arm in &expr.arms {
            self.bind(bound(&arm.pat), &expr.expr);
        }
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_assign(&mut self, expr: &'a syn::ExprAssign) {
        if let Expr::Path(path) = &*expr.left {
            self.bind(vec![last_of(&path.path)], &expr.right);
        }
        visit::visit_expr_assign(self, expr);
    }

    fn visit_expr_binary(&mut self, expr: &'a syn::ExprBinary) {
        if let (Expr::Path(path), syn::BinOp::AddAssign(_)) = (&*expr.left, &expr.op) {
            self.bind(vec![last_of(&path.path)], &expr.right);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'a syn::ExprStruct) {
        if !self.open.is_empty() {
            let here = self.here();
            let of = last_of(&expr.path);
            let is_broken =
                |field: &syn::FieldValue| matches!(&field.expr, Expr::Call(call) if is_false(call));
            let is_fault = of == "Fault" || of == "Promise" && expr.fields.iter().any(is_broken);
            let of = if of == "Self" { self.own_type() } else { of };
            for field in &expr.fields {
                let syn::Member::Named(name) = &field.member else { continue };
                self.source.fields.entry(name.to_string()).or_default().push((of.clone(), here, &field.expr));
                if is_fault {
                    self.source.starts.push((here, &field.expr));
                }
            }
        }
        visit::visit_expr_struct(self, expr);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let (Expr::Path(path), false) = (&*call.func, self.open.is_empty()) {
            let here = self.here();
            let name = last_of(&path.path);
            let end = end_of(&path.path);
            if name == "Err" || MAKERS.contains(&&*end) || MAKERS.contains(&&*name) {
                self.source.starts.extend(call.args.iter().map(|value| (here, value)));
            }
            if let Some((of, _)) = end.split_once("::") {
                let variants = self.source.variants.entry(of.to_owned()).or_default();
                variants.extend(call.args.iter().map(|value| (here, value)));
            }
            self.source.calls.entry(name).or_default().push((here, call.args.iter().collect()));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if !self.open.is_empty() {
            let here = self.here();
            let name = call.method.to_string();
            let is_fault = ERROR_METHODS.contains(&&*name) || name == "push" && call.args.len() == 2;
            let is_listed = matches!(&*name, "push" | "extend" | "push_str")
                && names(|names| names.visit_expr(&call.receiver)).iter().any(|name| name.contains("fault"));
            if is_fault || is_listed {
                self.source.starts.extend(call.args.iter().map(|value| (here, value)));
            }
            if let (Expr::Path(path), "push" | "push_str" | "extend" | "insert_str") =
                (&*call.receiver, &*name)
            {
                let into = last_of(&path.path);
                call.args.iter().for_each(|value| self.bind(vec![into.clone()], value));
            }
            // What `map_err` hands over is an error already.
            let hands_value = !name.ends_with("_else") && name != "map_err" && name != "map_or_else";
            for closure in call.args.iter().filter(|_| hands_value) {
                let Expr::Closure(closure) = closure else { continue };
                let names = closure.inputs.iter().flat_map(bound).collect();
                self.bind(names, &call.receiver);
            }
            self.source.calls.entry(name).or_default().push((here, call.args.iter().collect()));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_lit(&mut self, expr: &'a syn::ExprLit) {
        if let (Lit::Str(text), Some(here)) = (&expr.lit, self.open.last())
            && says_expected(&text.value())
        {
            self.source.said.push((*here, text.value()));
        }
    }

    fn visit_macro(&mut self, tokens: &'a syn::Macro) {
        self.read_macro(tokens);
    }
}

/// `Some(false)`: of promises, one that is broken.
fn is_false(call: &syn::ExprCall) -> bool {
    let value = call.args.first();
    matches!(value, Some(Expr::Lit(syn::ExprLit { lit: Lit::Bool(value), .. })) if !value.value)
}
