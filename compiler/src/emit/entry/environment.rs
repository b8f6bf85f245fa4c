//! The floating-point environment of a run: the default one between two calls, whatever the caller's is.
//!
//! A host may round up, or flush denormals to zero as audio programs do; each of a pool's threads has modes of its own. So each
//! entry and each task sets the default and gives back what was there, exception flags included. Code of the caller, the pool's, never
//! runs in between.

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{FuncRef, InstBuilder, StackSlot, StackSlotData, StackSlotKind};
use cranelift_frontend::FunctionBuilder;

use crate::emit::float_control::PLACE_BYTES;

/// The functions that change the environment, as seen from inside a function.
#[derive(Clone, Copy)]
pub(in crate::emit) struct Environment {
    /// Keeps the caller's and sets the default.
    pub(in crate::emit) set: FuncRef,
    /// Sets the caller's.
    pub(in crate::emit) restore: FuncRef,
}

/// Where a function keeps the environment of its caller.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    environment: Environment,
    place: StackSlot,
}

impl Environment {
    pub(super) fn keep(self, b: &mut FunctionBuilder<'_>) -> Kept {
        let place = StackSlotData::new(StackSlotKind::ExplicitSlot, PLACE_BYTES, 3);
        Kept { environment: self, place: b.create_sized_stack_slot(place) }
    }
}

impl Kept {
    /// From here on it is the default.
    pub(super) fn set(self, b: &mut FunctionBuilder<'_>) {
        self.call(b, self.environment.set);
    }

    /// From here on it is the caller's.
    pub(super) fn restore(self, b: &mut FunctionBuilder<'_>) {
        self.call(b, self.environment.restore);
    }

    fn call(self, b: &mut FunctionBuilder<'_>, function: FuncRef) {
        let place = b.ins().stack_addr(I64, self.place, 0);
        b.ins().call(function, &[place]);
    }
}
