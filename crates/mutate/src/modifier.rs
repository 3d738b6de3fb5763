//! The procedural modifiers of SWE-smith, for Python.

mod classes;
mod control;
mod operations;
mod remove;

pub(crate) use classes::with_comma;
pub(crate) use control::inverted;
pub(crate) use operations::broken;

use std::fmt;
use std::str::FromStr;

use crate::entity::Entity;
use crate::random::Dice;
use crate::splice::Splice;
use crate::tree::File;

/// A way to put a bug into a function or a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Modifier {
    /// A class loses one of its bases.
    ClassRemoveBase,
    /// A class loses methods, and what calls them through `self` loses the calls.
    ClassRemoveFunctions,
    /// The methods of a class stand in another order. Only where that can matter: a name is
    /// defined twice, or the body of the class uses its methods.
    ClassShuffleFunctions,
    /// The bodies of an `if` (or `elif`) and its `else` are exchanged.
    ControlInvertIf,
    /// The statements of a function with a loop stand in another order.
    ControlShuffle,
    /// An assignment is missing.
    RemoveAssign,
    /// An `if` is missing, with or without what it guards; or an `elif`, with what follows it.
    RemoveCondition,
    /// A loop is missing.
    RemoveLoop,
    /// A `with` or `try` is missing, with what it holds or without it.
    RemoveWrapper,
    /// An operand of a chain is missing.
    OperationBreakChains,
    /// An integer in an operation or a comparison is one more or one less.
    OperationChangeConstants,
    /// An operator is another one of its family.
    OperationChange,
    /// The sides of an operation are exchanged. Only where that can matter.
    OperationSwap,
}

impl Modifier {
    /// All of them.
    pub const ALL: [Modifier; 13] = [
        Modifier::ClassRemoveBase,
        Modifier::ClassRemoveFunctions,
        Modifier::ClassShuffleFunctions,
        Modifier::ControlInvertIf,
        Modifier::ControlShuffle,
        Modifier::RemoveAssign,
        Modifier::RemoveCondition,
        Modifier::RemoveLoop,
        Modifier::RemoveWrapper,
        Modifier::OperationBreakChains,
        Modifier::OperationChangeConstants,
        Modifier::OperationChange,
        Modifier::OperationSwap,
    ];

    /// The name, as SWE-smith has it.
    pub fn name(self) -> &'static str {
        match self {
            Modifier::ClassRemoveBase => "func_pm_class_rm_base",
            Modifier::ClassRemoveFunctions => "func_pm_class_rm_funcs",
            Modifier::ClassShuffleFunctions => "func_pm_class_shuffle_funcs",
            Modifier::ControlInvertIf => "func_pm_ctrl_invert_if",
            Modifier::ControlShuffle => "func_pm_ctrl_shuffle",
            Modifier::RemoveAssign => "func_pm_remove_assign",
            Modifier::RemoveCondition => "func_pm_remove_cond",
            Modifier::RemoveLoop => "func_pm_remove_loop",
            Modifier::RemoveWrapper => "func_pm_remove_wrapper",
            Modifier::OperationBreakChains => "func_pm_op_break_chains",
            Modifier::OperationChangeConstants => "func_pm_op_change_const",
            Modifier::OperationChange => "func_pm_op_change",
            Modifier::OperationSwap => "func_pm_op_swap",
        }
    }

    /// What a bug of this kind looks like, in one sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Modifier::ClassRemoveBase => "A class lacks one of its base classes.",
            Modifier::ClassRemoveFunctions => "A class lacks methods, and calls of them.",
            Modifier::ClassShuffleFunctions => "The methods of a class are out of order.",
            Modifier::ControlInvertIf => "The branches of a condition are exchanged.",
            Modifier::ControlShuffle => "Statements of a function are out of order.",
            Modifier::RemoveAssign => "An assignment is missing.",
            Modifier::RemoveCondition => "A condition is missing.",
            Modifier::RemoveLoop => "A loop is missing.",
            Modifier::RemoveWrapper => "A `with` or `try` block is missing.",
            Modifier::OperationBreakChains => "An expression lacks a part.",
            Modifier::OperationChangeConstants => "A constant in an expression is wrong.",
            Modifier::OperationChange => "An operator is wrong.",
            Modifier::OperationSwap => "The operands of an operation are exchanged.",
        }
    }

    /// How likely each place in an entity is changed, unless told otherwise.
    pub fn likelihood(self) -> f64 {
        match self {
            Modifier::ClassRemoveFunctions => 0.15,
            Modifier::OperationBreakChains
            | Modifier::OperationChangeConstants
            | Modifier::OperationChange
            | Modifier::OperationSwap => 0.4,
            _ => 0.25,
        }
    }

    /// The least and the greatest complexity of an entity that it is used on.
    pub fn complexity(self) -> (usize, usize) {
        match self {
            Modifier::ClassRemoveBase
            | Modifier::ClassRemoveFunctions
            | Modifier::ClassShuffleFunctions => (10, usize::MAX),
            Modifier::ControlInvertIf => (5, usize::MAX),
            Modifier::ControlShuffle => (3, 10),
            _ => (3, usize::MAX),
        }
    }

    /// Whether it changes classes; the others change functions and methods.
    pub fn is_for_classes(self) -> bool {
        matches!(
            self,
            Modifier::ClassRemoveBase
                | Modifier::ClassRemoveFunctions
                | Modifier::ClassShuffleFunctions
        )
    }

    /// Changes that it makes to an entity; none if there is nothing to change or chance says no.
    pub(crate) fn propose(
        self,
        file: &File<'_>,
        entity: &Entity<'_>,
        dice: &mut Dice,
    ) -> Vec<Splice> {
        match self {
            Modifier::ClassRemoveBase => classes::remove_base(file, entity, dice),
            Modifier::ClassRemoveFunctions => classes::remove_functions(file, entity, dice),
            Modifier::ClassShuffleFunctions => classes::shuffle_functions(file, entity, dice),
            Modifier::ControlInvertIf => control::invert_if(file, entity, dice),
            Modifier::ControlShuffle => control::shuffle(file, entity, dice),
            Modifier::RemoveAssign => remove::assign(file, entity, dice),
            Modifier::RemoveCondition => remove::condition(file, entity, dice),
            Modifier::RemoveLoop => remove::loops(file, entity, dice),
            Modifier::RemoveWrapper => remove::wrapper(file, entity, dice),
            Modifier::OperationBreakChains => operations::break_chains(file, entity, dice),
            Modifier::OperationChangeConstants => operations::constants(file, entity, dice),
            Modifier::OperationChange => operations::change(file, entity, dice),
            Modifier::OperationSwap => operations::swap(file, entity, dice),
        }
    }
}

impl fmt::Display for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Modifier {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|m| m.name() == name);
        known.ok_or_else(|| UnknownName {
            name: name.to_owned(),
            known: Self::ALL.map(Modifier::name).join(", "),
        })
    }
}

/// There is no such modifier or kind of mutant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no `{name}`; there are: {known}")]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// Those there are.
    pub known: String,
}
