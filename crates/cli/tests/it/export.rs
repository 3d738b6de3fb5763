//! `palestra export` on a real job.

use serde_json::Value;

use crate::run::Gym;
use crate::support::Palestra;

#[test]
fn a_job_becomes_training_sets() {
    let Some(gym) = Gym::open() else { return };
    let ran = gym.run("solved", &["-a", "oracle", "-n", "2"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = gym.run("unsolved", &["-a", "nop", "-n", "2"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (solved, unsolved) = (gym.job("solved"), gym.job("unsolved"));
    let (solved, unsolved) = (solved.to_string_lossy(), unsolved.to_string_lossy());
    let out = |name: &str| gym.palestra.dir().join(name).to_string_lossy().into_owned();
    // The fix as it is played back says nothing that a model could learn; as tasks it is enough.
    let rl = out("rl");
    let ran = gym.palestra.run(&[
        "export", &solved, &unsolved, "--for", "verl", "--form", "rl", "--all", "-o", &rl, "--json",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let card: Value = serde_json::from_str(&ran.stdout).expect("a card");
    assert_eq!((&card["found"], &card["tasks"]), (&(2 * gym.count).into(), &gym.count.into()));
    let files = card["files"].as_array().expect("files");
    assert!(
        files.iter().all(|file| gym
            .palestra
            .dir()
            .join("rl")
            .join(file.as_str().unwrap())
            .is_file())
    );
    // The same again does nothing, another one does not overwrite.
    let again = ["export", &solved, &unsolved, "--for", "verl", "--form", "rl", "--all", "-o", &rl];
    assert_eq!(gym.palestra.run(&again).code, Some(0));
    let ran = gym.palestra.run(&["export", &solved, "--for", "skyrl", "--form", "rl", "-o", &rl]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("was not made by this export"), "{ran:?}");
    // Selection by a file.
    let config = gym.palestra.dir().join("config.toml");
    std::fs::write(&config, "target = \"trl\"\nform = \"rl\"\n[selection]\nlimit = 2\n")
        .expect("a file");
    let few = out("few");
    let ran = gym.palestra.run(&[
        "export",
        &solved,
        "-c",
        &config.to_string_lossy(),
        "-o",
        &few,
        "--json",
    ]);
    let card: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(card["kept"], 2, "{card}");
}

#[test]
fn wrong_words_are_named() {
    let palestra = Palestra::new();
    let dir = palestra.dir().to_string_lossy().into_owned();
    let out = palestra.dir().join("out").to_string_lossy().into_owned();
    for (more, code, word) in [
        (vec![], 2, "say who is to read it"),
        (vec!["--for", "torchtune"], 2, "torchtune"),
        (vec!["--for", "axolotl", "--form", "rl"], 2, "axolotl does not read"),
        (vec!["--for", "trl"], 1, "holds no attempts"),
        (vec!["--for", "trl", "--context", "100"], 2, "needs a tokenizer"),
    ] {
        let ran = palestra.run(&[&["export", &dir, "-o", &out][..], &more].concat());
        assert_eq!(ran.code, Some(code), "{more:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{more:?}: {ran:?}");
    }
}
