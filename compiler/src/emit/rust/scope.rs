//! Where the pointers of a kernel are declared: in a [`Code`](crate::code::Code) they are numbers that are used again, in Rust
//! variables of a block.
//!
//! A pointer that a loop writes belongs to the block around the loop if somebody reads it after the loop or in the next
//! round, and to the loop's body otherwise. Writes that nobody reads are dropped.

use std::collections::BTreeSet;

use crate::code::{Op, Ptr};

/// An operation with what is known of its pointers.
pub(super) enum Node<'a> {
    /// Anything but a loop.
    Op(&'a Op),
    Loop {
        count: u32,
        body: Vec<Node<'a>>,
        /// Pointers that the body writes and that are declared before the loop.
        outer: BTreeSet<Ptr>,
    },
}

type Live = BTreeSet<Ptr>;

/// The operations of a kernel. Nothing is read after the last.
pub(super) fn scopes(ops: &[Op]) -> Vec<Node<'_>> {
    block(ops, &mut Live::new())
}

/// Walks a block from its end, where `live` will be read, to its start.
fn block<'a>(ops: &'a [Op], live: &mut Live) -> Vec<Node<'a>> {
    let mut nodes = Vec::with_capacity(ops.len());
    for op in ops.iter().rev() {
        if let Op::Loop { count, body } = op {
            // What a round leaves for the next is what the body reads first.
            let after = live.clone();
            block(body, live);
            live.extend(&after);
            let at_end = live.clone();
            let body_nodes = block(body, live);
            live.extend(&after);
            let outer = written(body).intersection(&at_end).copied().collect();
            nodes.push(Node::Loop { count: *count, body: body_nodes, outer });
            continue;
        }
        if let Op::SetPointer { dst, .. } = op
            && !live.remove(dst)
        {
            continue;
        }
        live.extend(reads(op));
        nodes.push(Node::Op(op));
    }
    nodes.reverse();
    nodes
}

/// The pointer that an operation reads.
fn reads(op: &Op) -> Option<Ptr> {
    match *op {
        Op::Load { from, .. }
        | Op::LoadTwice { from, .. }
        | Op::Splat { from, .. }
        | Op::DotLoad { from, .. }
        | Op::DotPairsLoad { from, .. }
        | Op::LoadLanes { from, .. }
        | Op::LoadBytes { from, .. } => Some(from.ptr),
        Op::Store { to, .. } | Op::StoreBytes { to, .. } => Some(to.ptr),
        Op::Prefetch { at } => Some(at.ptr),
        Op::SetPointer { from, .. } => Some(from),
        Op::Const { .. }
        | Op::Copy { .. }
        | Op::Join { .. }
        | Op::Fma { .. }
        | Op::MulAdd { .. }
        | Op::FmaLane { .. }
        | Op::Binary { .. }
        | Op::ConstInteger { .. }
        | Op::Dot { .. }
        | Op::WidenBytes { .. }
        | Op::DotWords { .. }
        | Op::ConstLanes { .. }
        | Op::Permute { .. }
        | Op::Zip { .. }
        | Op::Narrow { .. }
        | Op::Parts { .. }
        | Op::DotPairs { .. }
        | Op::ToFloat { .. }
        | Op::ToInteger { .. }
        | Op::ShiftLeft { .. }
        | Op::ShiftRight { .. }
        | Op::Heading(_)
        | Op::Loop { .. } => None,
    }
}

fn written(ops: &[Op]) -> Live {
    let mut all = Live::new();
    for op in ops {
        match op {
            Op::Loop { body, .. } => all.extend(written(body)),
            Op::SetPointer { dst, .. } => all.extend([*dst]),
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{Access, Builder};
    use crate::target::X86_64_V3;

    #[test]
    fn pointers_belong_to_the_loop_that_moves_them_or_around_it() {
        let mut b = Builder::new(&X86_64_V3);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        let (value, inner) = (b.register(), b.pointer());
        b.repeat(3, |b| {
            b.set_pointer(inner, input, 0);
            b.load(value, inner.at(0));
            b.advance(input, 8);
        });
        b.store(value, output.at(0));
        // Read by nobody.
        b.advance(output, 8);
        let code = b.finish();
        let nodes = scopes(&code.body);
        assert_eq!(nodes.len(), 2);
        let Node::Loop { outer, body, .. } = &nodes[0] else { panic!("the first node is the loop") };
        assert_eq!(*outer, [input].into());
        assert_eq!(body.len(), 3);
    }
}
