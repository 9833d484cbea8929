import pytest

from ctxai.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explian", "ct", "out"], "did you mean explain?"),
        (["--versoin"], "did you mean --version?"),
        (["train", "store"], "RUN_DIR missing; for example `ctxai train store run"),
        (["train"], "STORE_DIR missing; for example `ctxai train store run"),
        (["explain", "ct", "out", "--methods", "cdam"], "--methods: no such option; did you mean --method?"),
        (["train", "s", "r", "--optim.epohcs", "3"], "did you mean --optim.epochs?"),
        (["explain", "ct", "out", "--formats", "nifti", "pmap"], "pmap: one value too many"),
        (["explain", "ct", "out", "--points"], "--points: expected a value after it"),
        (
            ["explain", "ct", "out", "--shard", "-1/2"],
            "one that begins with - as --shard=VALUE",
        ),
        (["explain", "ct", "out", "--method"], "--method: expected a value after it"),
        (["explain", "ct", "out", "--maps=perhaps"], "--maps perhaps: expected true or false"),
        (["explain", "ct", "out", "--workers", "many"], "--workers many: expected a whole number"),
        (["train", "s", "r", "--optim.learning_rate", "fast"], "--optim.learning-rate fast: expected a number"),
        (
            ["train", "s", "r", "--label", "sfot"],
            "--label sfot: expected one of soft, hard, rating; did you mean soft?",
        ),
        (["train", "s", "r", "--seed", "1.5"], "--seed 1.5: expected a whole number"),
        (["train", "s", "r", "--views.hu-window", "-1000"], "--views.hu-window: expected 2 values"),
        (["train", "s", "r", "--workers", "1", "--workers", "many"], "--workers many: expected a whole number"),
        (
            ["train", "s", "r", "--optim", "no.yaml"],
            "a group of options; give them one by one as --optim.NAME",
        ),
        (["explain", "ct", "out", "--workers", "-3"], "--workers -3: expected a whole number from 0"),
        (["phantom", "out", "--seed", "-1"], "--seed -1: expected a whole number from 0"),
        (["watch", "spool", "--dicomweb", "http://pacs", "--port", "99999"], "expected a whole number from 0 to 65535"),
        (["phantom", "out", "--patients", "0515"], "0515: no patient of LIDC-IDRI; give ids such as LIDC-IDRI-0001"),
        (["phantom", "out", "--planted", "spikulation"], "did you mean spiculation?"),
        (["explain", "ct", "out", "--config", "tinny.yaml"], "did you mean tiny.yaml?"),
        (["manifest", "out", "--cohort", "conrd"], "cohort-conrd.yaml: no such file among configs (cohort-conrad.yaml"),
        (["explain", "ct", "out", "--method", "cdma"], "did you mean cdam?"),
        (["explain", "ct", "out", "--method", "cdam,agcam"], "give several with spaces between: cdam agcam"),
        (["explain", "ct", "out", "--target", "Malignant"], "did you mean malignancy?"),
        (["explain", "ct", "out", "--target", "spiculation-lobulaton"], "did you mean spiculation-lobulation?"),
        (["explain", "ct", "out", "--views", "axail"], "did you mean axial?"),
        (["explain", "ct", "out", "--formats", "nifty,pmap"], "did you mean nifti?"),
        (["explain", "ct", "out", "--deidentify", "--retain", "date"], "did you mean dates?"),
        (["--print-completion", "bsh"], "did you mean bash?"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_what_to_write_instead(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targt: [malignancy]\n", "--config own.yaml, line 1: explain has no option targt; did you mean target?"),
        ("target: [malignancy\n", "--config own.yaml, line 2: expected a YAML file"),
        ("- a\n- b\n", "--config own.yaml: expected lines of the form `option: value`, found ['a', 'b']"),
        ("seed: 1\nworkers: many\n", "--config own.yaml, line 1: explain has no option seed"),
        ("trust: true\nworkers: many\n", "--config own.yaml, line 2: workers many: expected a whole number"),
        ("views: {pixels: 4}\n", "--config own.yaml, line 1: explain has no option views.pixels"),
        ("\xe9", "--config own.yaml: expected a YAML file in UTF-8"),
    ],
)
def test_a_config_that_does_not_fit_is_named_with_what_is_wrong_in_it(text, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_bytes(text.encode("latin-1"))
    assert main(["explain", "ct", "out", "--config", "own.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error


def test_a_config_of_another_command_is_refused(capsys):
    assert main(["explain", "ct", "out", "--config", "lidc2d.yaml"]) == 2
    assert "explain has no option" in capsys.readouterr().err


def test_an_unknown_key_in_a_group_is_told_its_neighbour(capsys, tmp_path):
    (tmp_path / "own.yaml").write_text("backbone: {dept: 3}\n")
    assert main(["train", "store", "run", "--config", str(tmp_path / "own.yaml")]) == 2
    assert (
        "own.yaml, line 1: train has no option backbone.dept; did you mean backbone.depth?" in capsys.readouterr().err
    )
