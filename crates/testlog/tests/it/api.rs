//! Registries, names and what a parser gives back.

use std::collections::BTreeSet;

use palestra_testlog::{
    Edition, LogContext, LogStatus, StatusMap, names, parser, parser_of_repo, r2egym_comparable,
    read_log,
};

use crate::work::EDITIONS;

#[test]
fn registries_have_their_names() {
    let counts = [
        (Edition::SweBench5, 57),
        (Edition::SweBench4, 47),
        (Edition::SweRebenchV2, 95),
        (Edition::R2eGym, 1),
    ];
    for (edition, count) in counts {
        assert_eq!(names(edition).count(), count, "{edition:?}");
    }
    for edition in EDITIONS {
        let all: BTreeSet<_> = names(edition).collect();
        assert_eq!(all.len(), names(edition).count(), "a name stands twice in {edition:?}");
        for name in all {
            let parser = parser(edition, name).expect("a known name");
            assert_eq!((parser.name(), parser.edition()), (name, edition));
            assert!(parser.version() >= 1);
        }
        assert!(parser(edition, "parse_log_unheard_of").is_none());
    }
}

#[test]
fn repositories_have_parsers() {
    let name = |edition, repo| parser_of_repo(edition, repo).map(|parser| parser.name());
    let check = |edition, repo, want| assert_eq!(name(edition, repo), want, "{edition:?} {repo}");
    check(Edition::SweBench4, "astropy/astropy", Some("parse_log_pytest_v2"));
    check(Edition::SweBench4, "Astropy/astropy", None);
    check(Edition::SweBench4, "processing/p5.js", Some("parse_log_p5js"));
    check(Edition::SweRebench, "processing/p5.js", None);
    check(Edition::SweGym, "Project-MONAI/MONAI", Some("parse_log_pytest"));
    check(Edition::SweGym, "pydantic/pydantic", Some("parse_log_pytest_pydantic"));
    check(Edition::R2eGym, "orange3", Some("parse_log_pytest"));
    check(Edition::SweRebenchV2, "any/thing", Some("parse_log_pytest"));
    check(Edition::SweSmith, "tornadoweb/tornado", Some("parse_log_tornado"));
    check(Edition::SweSmith, "tornadoweb__tornado.d5ac65c1", Some("parse_log_tornado"));
    check(Edition::SweSmith, "swesmith/gin-gonic__gin.3c12d2a8", Some("parse_log_gotest"));
    check(Edition::SweSmith, "gin-gonic/gi", None);
    check(Edition::SweBench5, "astropy/astropy", None);
}

#[test]
fn a_failure_of_the_original_is_a_problem_without_a_map() {
    let parse = |name, log, context| parser(Edition::SweBench5, name).unwrap().parse(log, context);
    let context = LogContext { instance_id: "jekyll__jekyll-1", ..LogContext::default() };
    for (name, log) in [
        ("parse_log_jekyll", "a. = ."),
        ("parse_log_doctest", "<doctest><TestCase></doctest>"),
        ("parse_log_prismjs", "./node_modules/.bin/mocha tests/run.js --reporter json {}"),
        ("parse_log_django", "test_a ... ok\nFAIL:\n"),
    ] {
        let parsed = parse(name, log, context);
        assert!(parsed.raised() && parsed.map.is_empty(), "{name}: {parsed:?}");
        assert_eq!(parsed.problems.len(), 1, "{name}");
    }
    let empty = parse("parse_log_pytest", "nothing\n", context);
    assert!(empty.map.is_empty() && !empty.raised());
}

/// A tree that is as deep as it is long asks for names of gigabytes.
#[test]
fn names_that_outgrow_the_log_are_given_up() {
    let mut log = String::from("x ./node_modules/.bin/jest y\n");
    for depth in 1..500 {
        log += &format!("{:depth$}{}\n", "", "suite ".repeat(30));
    }
    log += &format!("{:500}✓ a\n", "").repeat(1000);
    let parser = parser(Edition::SweBench5, "parse_log_calypso").unwrap();
    let parsed = parser.parse(&log, LogContext::default());
    assert!(parsed.raised(), "{} names", parsed.map.len());
    assert!(parsed.problems[0].text.contains("MemoryError"));
}

#[test]
fn logs_are_read_as_text() {
    assert_eq!(read_log(b"a\r\nb\rc\n\r"), "a\nb\nc\n\n");
    assert_eq!(read_log(b"a\xffb"), "a\u{fffd}b");
    assert!(matches!(read_log(b"a\nb"), std::borrow::Cow::Borrowed(_)));
}

#[test]
fn a_status_is_whatever_word_the_parser_took_for_one() {
    let parser = parser(Edition::SweBench5, "parse_log_pytest").unwrap();
    let map = parser.parse("PASSED[gw1] a.py::b\nXFAIL c\n", LogContext::default()).map;
    assert_eq!(map.get("a.py::b"), Some(&LogStatus::Other("PASSED[gw1]".into())));
    assert_eq!(map.get("c").map(LogStatus::as_str), Some("XFAIL"));
    assert_eq!(map.get("d"), None);
}

/// What R2E-Gym does to both maps before it counts and compares them.
#[test]
fn r2e_gym_compares_names_without_colours_and_reasons() {
    let pairs = [
        ("\u{1b}[1mtest_b\u{1b}[0m", LogStatus::Failed),
        ("test_a - why", LogStatus::Passed),
        ("test_a - else", LogStatus::Failed),
        ("", LogStatus::Error),
    ];
    let map: StatusMap = pairs.into_iter().collect();
    let want =
        [("", LogStatus::Error), ("test_a", LogStatus::Passed), ("test_b", LogStatus::Failed)];
    assert_eq!(r2egym_comparable(&map), want.into_iter().collect());
}
