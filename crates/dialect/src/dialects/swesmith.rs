//! SWE-smith 0.0.9. Its rows are turned round: their patch makes the bug, and the gold patch is
//! that one in reverse.

use std::time::Duration;

use palestra_testlog::Edition;

use crate::dialect::Dialect;
use crate::dialects::swebench4;
use crate::ladder::{Command, EmptyPatch, FILES, Ladder, PATCH};
use crate::markers::{APPLY_FAILED, TESTS_TIMED_OUT};
use crate::rules::{
    CaseRules, Cleaning, ExitRule, FailOnly, ImageName, LogRules, Lookup, ParserChoice, Place,
    Region, Rules, VerdictRule, Workdir,
};

pub(crate) static RULES: Rules = Rules {
    dialect: Dialect::SweSmith,
    place: Place {
        workdir: Workdir::Fixed("/testbed"),
        user: "root",
        // What most profiles say; a profile may say otherwise.
        timeout: Some(Duration::from_secs(90)),
        patch: "/tmp/patch.diff",
        run: &["/bin/bash", "/eval.sh"],
        image: ImageName::Row,
    },
    ladder: LADDER,
    gold_ladder: Some(GOLD_LADDER),
    parser: ParserChoice::RowOrRepository(Edition::SweSmith),
    log: LogRules {
        cleaning: Cleaning::Newlines,
        refused_by: &[APPLY_FAILED, TESTS_TIMED_OUT],
        requires: None,
        region: Region::TracedMarkers,
        whole_if_empty: false,
        evidence_if_empty: false,
        exit: ExitRule::Ignored,
    },
    cases: CaseRules {
        fail_to_pass: swebench4::ACCEPT,
        pass_to_pass: swebench4::ACCEPT,
        lookup: Lookup::Exact,
        fail_only: FailOnly::Never,
    },
    verdict: VerdictRule::Shares,
};

const BEFORE: &[Command] = &[Command(&["git", "checkout", "--", FILES])];

const LADDER: Ladder = Ladder { before: BEFORE, empty: EmptyPatch::TestsRun, ..swebench4::LADDER };

/// The last rung never succeeds: `-i` takes the word behind it for the name of the patch.
const GOLD_LADDER: Ladder = Ladder {
    rungs: &[
        Command(&["git", "apply", "--verbose", "--reverse", PATCH]),
        Command(&["git", "apply", "--verbose", "--reject", "--reverse", PATCH]),
        Command(&["patch", "--batch", "--fuzz=5", "-p1", "-i", "--reverse", PATCH]),
    ],
    ..LADDER
};
