"""``skeleton-lab calibrate``: held-out subjects set the temperature and nothing else does; predictions heed it."""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sandbox import in_this_process
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import mannwhitneyu

from skeleton_lab import Predictor, cli, open_archive, registry
from skeleton_lab.calibration.program import figures
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import calibrated, onnx_network

CLASSES, FRAMES = 4, 8
TRAINED = [0, 1, 2]


def archive(path: Path, test_seed: int = 1) -> Path:
    """Noisy bodies of which each class has its own, of six subjects in training; that part is always the same."""
    forms = np.random.default_rng(7).normal(0, 0.5, (CLASSES, 3, 1, 17, 1))
    arrays = {}
    for split, count, seed in (("train", 72, 0), ("test", 32, test_seed)):
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % CLASSES
        x = forms[labels] + rng.normal(0, 0.5, (count, 3, 1, 17, 1)) + rng.normal(0, 0.1, (count, 3, FRAMES, 17, 1))
        people = [f"{split}{k // CLASSES % 6}" for k in range(count)]
        arrays |= {f"x_{split}": x.astype(np.float32), f"y_{split}": labels, f"subject_{split}": np.array(people)}
    np.savez(path, skeleton="h36m17", channels="xyz", units="m", class_names=np.array([*"abcd"]), **arrays)
    return path


def run(line: str) -> int:
    with in_this_process():
        try:
            return cli.main(shlex.split(line))
        except SystemExit as stop:
            return int(stop.code or 0)


def fit_classifier(data: Path, path: Path) -> None:
    """Save an ST-GCN of random layers, whose classifier is a ridge regression on every third clip; it is too sure."""
    config = yaml.safe_load((registry.find("stgcn").path / "config/st_gcn/ntu-xsub/train.yaml").read_text())
    args = {**config["model_args"], "num_class": CLASSES, "dropout": 0}
    args["graph_args"] = {**args["graph_args"], "layout": "h36m17"}
    torch.manual_seed(0)
    seen: list[torch.Tensor] = []
    with registry.room("stgcn"):
        net = registry.load("stgcn", config["model"])(**args).eval()
        net.fcn.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].flatten(1)))
        feeder = registry.load("stgcn", "feeder.feeder.Feeder")(data_path=str(data), split="train")
        with torch.no_grad():
            net(feeder.__getitems__(range(0, 72, 5))[0])
            x, y = seen[0] - seen[0].mean(0), torch.eye(CLASSES)[torch.tensor(feeder.label[::5])]
            weight = y.T @ x @ torch.linalg.inv(x.T @ x + 0.1 * x.pow(2).sum() / len(x) * torch.eye(x.shape[1]))
            net.fcn.weight.copy_(20 * weight[:, :, None, None])
            net.fcn.bias.copy_(-20 * weight @ seen[0].mean(0))
    torch.save(net.state_dict(), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Namespace:
    """A training on three of four classes that held two of six subjects out, calibrated.

    It goes on from weights that are good already, and with a learning rate of 0: it draws the subjects and logs.
    """
    folder = tmp_path_factory.mktemp("calibrate")
    data, work, start = archive(folder / "my.npz"), folder / "run", folder / "start.pt"
    fit_classifier(data, start)
    sides = " ".join(f"--{split}-feeder-args data_path={data},split={split}" for split in ("train", "test"))
    flags = ("--classes 0-2 --val-split subjects --val-share 0.33 --seed 5 --num-epoch 1 --batch-size 12 "
             "--test-batch-size 32 --base-lr 0 --freeze backbone --num-worker 0")  # fmt: skip
    more = f"--device cpu --report False --model-args num_class={CLASSES},dropout=0 --weights {start} --work-dir {work}"
    assert run(f"train stgcn {sides} {flags} {more}") == 0
    made = Namespace(folder=folder, data=data, work=work, weights=work / "epoch1_model.pt")
    made.config = yaml.safe_load((work / "config.yaml").read_text())
    made.logits = {split: said(made, split) for split in ("train", "test")}  # before there is a calibration
    assert run(f"calibrate stgcn --weights {made.weights} --report no") == 0
    made.file = work / "calibration.json"
    made.told = json.loads(made.file.read_text())
    return made


def said(lab: Namespace, split: str) -> np.ndarray:
    """The logits of all clips of a split, by the predictor."""
    found = Predictor("stgcn", lab.weights, config=lab.work / "config.yaml")(open_archive(lab.data, split))
    assert {each.temperature for each in found} == {1} and found[0].known is None
    return np.stack([each.logits for each in found]).astype(float)


@pytest.mark.slow
def test_the_temperature_is_that_of_the_held_out_subjects(lab):
    """Of the two subjects in whose clips the training's own validation has the accuracy that its log tells."""
    clips = open_archive(lab.data, "train")
    seen = np.isin(clips.labels, TRAINED)
    events = [json.loads(line) for line in (lab.work / "metrics.jsonl").read_text().splitlines()]
    top1 = next(each["top1"] for each in reversed(events) if each.get("split") == "val")
    logits = lab.logits["train"]
    right = logits.argmax(1) == clips.labels
    pairs = list(combinations(np.unique(clips.subjects).tolist(), 2))
    accuracy = {pair: right[seen & np.isin(clips.subjects, pair)].mean() for pair in pairs}
    candidates = [pair for pair in pairs if accuracy[pair] == pytest.approx(top1)]

    def best(rows: np.ndarray) -> float:
        nll = lambda log: -log_softmax(logits[rows] / np.exp(log), 1)[range(rows.sum()), clips.labels[rows]].mean()  # noqa: E731
        return float(np.exp(minimize_scalar(nll, bracket=(0, 0.5), tol=1e-10).x))

    rows = {pair: seen & np.isin(clips.subjects, pair) for pair in candidates}
    fitting = [pair for pair in candidates if best(rows[pair]) == pytest.approx(lab.told["temperature"], rel=1e-4)]
    assert len(fitting) == 1 and lab.told["fitted"] and 0.05 < lab.told["temperature"] != 1
    chosen = rows[fitting[0]]
    assert lab.told["subjects"] == {"held_out": 2, "of": 6} and lab.told["validation"]["clips"] == chosen.sum()
    energy = logsumexp(logits[chosen][:, TRAINED], 1)
    accepted = (energy >= lab.told["reject"]["threshold"] - 1e-6).mean()
    assert lab.told["reject"]["score"] == "energy" and 0.95 <= accepted < 0.95 + 1 / len(energy) + 1e-9


@pytest.mark.slow
def test_known_and_unknown_clips_of_the_test(lab):
    labels, logits = open_archive(lab.data, "test").labels, lab.logits["test"]
    known = np.isin(labels, TRAINED)
    assert lab.told["classes"] == TRAINED and lab.told["unknown"]["known"] == known.sum() == 24
    assert lab.told["before"]["samples"] == 24
    assert lab.told["before"]["top1"] == (logits[known].argmax(1) == labels[known]).mean() == lab.told["after"]["top1"]
    nll = -log_softmax(logits[known] / lab.told["temperature"], 1)[range(24), labels[known]].mean()
    assert lab.told["after"]["nll"] == pytest.approx(nll, rel=1e-4)
    scores = {"max probability": softmax(logits[:, TRAINED], 1).max(1), "max logit": logits[:, TRAINED].max(1),
              "energy": logsumexp(logits[:, TRAINED], 1)}  # fmt: skip
    for name, score in scores.items():
        each = lab.told["unknown"]["scores"][name]
        assert each["auroc"] == pytest.approx(mannwhitneyu(score[known], score[~known]).statistic / (24 * 8))
        assert sum(each["shares"]["known"]) == pytest.approx(1) == sum(each["shares"]["unknown"])


@pytest.mark.slow
def test_the_test_data_do_not_set_the_temperature(lab, capsys):
    other = archive(lab.folder / "other.npz", test_seed=2)
    text = (lab.work / "config.yaml").read_text().replace(str(lab.data), str(other))
    (lab.folder / "other.yaml").write_text(text)
    try:
        line = f"calibrate stgcn --weights {lab.weights} --config {lab.folder}/other.yaml --report no"
        assert run(line) == 0
        told = json.loads(lab.file.read_text())
    finally:
        lab.file.write_text(json.dumps(lab.told))
    same = ("temperature", "reject", "validation", "subjects", "digest", "classes")
    assert {key: told[key] for key in same} == {key: lab.told[key] for key in same}
    assert told["before"] != lab.told["before"] and told["unknown"] != lab.told["unknown"]
    out = capsys.readouterr().out
    assert f"temperature {told['temperature']:.4f}, on " in out and "of 2 of 6 subjects" in out
    assert "8 test clips of classes that were not trained on, against 24 of known" in out and "AUROC" in out


@pytest.mark.slow
def test_predictions_heed_the_file_of_their_weights_alone(lab, tmp_path, capsys):
    line = f"predict stgcn --weights {lab.weights} --input {lab.data} --output {tmp_path}"
    assert run(line) == 0
    made = json.loads((tmp_path / "predictions.json").read_text())
    p = softmax(lab.logits["test"] / lab.told["temperature"], 1)
    best = [clip["windows"][0]["top"][0]["probability"] for clip in made["clips"]]
    np.testing.assert_allclose(best, p.max(1), atol=2e-6)
    known = logsumexp(lab.logits["test"][:, TRAINED], 1) >= lab.told["reject"]["threshold"]
    assert [clip["windows"][0]["known"] for clip in made["clips"]] == known.tolist()
    assert made["calibration"]["temperature"] == lab.told["temperature"]
    out = capsys.readouterr().out
    count = f"{(~known).sum()} of 32 predictions are perhaps of no known class"
    assert f"temperature {lab.told['temperature']:.4g} of {lab.file}; {count}" in out
    assert out.count("; perhaps none of these") == (~known).sum() > 0
    assert "probabilities are calibrated" in (tmp_path / "predictions.html").read_text()
    answers = Predictor("stgcn", lab.weights, config=lab.work / "config.yaml")(open_archive(lab.data, "test"))
    np.testing.assert_allclose(answers[3].logits, lab.logits["test"][3], rtol=1e-5)
    np.testing.assert_allclose(answers[3].probabilities, p[3], rtol=1e-4)
    assert [each.known for each in answers] == known.tolist()

    weights = torch.load(lab.weights, weights_only=True)
    torch.save({**weights, "fcn.bias": weights["fcn.bias"] + 0.5}, lab.work / "epoch3_model.pt")
    other = Predictor("stgcn", lab.work / "epoch3_model.pt", config=lab.work / "config.yaml")
    told = "calibration.json is of other weights (epoch1_model.pt): probabilities are not calibrated"
    assert told in capsys.readouterr().err
    [answer] = other(open_archive(lab.data, "test").subset([0]))
    assert answer.temperature == 1 and answer.known is None
    np.testing.assert_allclose(answer.probabilities, softmax(answer.logits.astype(float)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no file of skeleton-lab calibrate"),
        ("[]", "no mapping"),
        ({"temperature": 0}, "temperature 0"),
        ({"temperature": "2"}, "temperature '2'"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"reject": {"score": "energy"}}, "no threshold"),
        ({"reject": {"score": "luck", "threshold": 1.0}}, "score 'luck'"),
        ({"classes": [-1]}, "classes that are none"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, says):
    weights, file = tmp_path / "w.pt", tmp_path / "calibration.json"
    weights.write_bytes(b"weights")
    told = {"digest": calibrated.digest(weights), "temperature": 2.0, "classes": [0, 2],
            "reject": {"score": "max logit", "threshold": 0.5}}  # fmt: skip
    file.write_text(json.dumps(told))
    found = calibrated.beside(weights, print)
    assert found.temperature == 2 and found.knows(np.array([[0.4, 9, 0.4], [0, 0, 0.5]])).tolist() == [False, True]
    file.write_text(content if isinstance(content, str) else json.dumps({**told, **content}))
    with pytest.raises(UsageError, match="remove it, or calibrate again") as error:
        calibrated.beside(weights, print)
    assert says in str(error.value) and str(file) in str(error.value)


@pytest.mark.slow
def test_an_export_takes_the_temperature_along(lab, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 5):
        pytest.skip("this PyTorch writes operators up to version 17 only")
    file = tmp_path / "net.onnx"
    assert run(f"export stgcn --weights {lab.weights} --output {file} --clips 3") == 0
    temperature = lab.told["temperature"]
    assert f"the file is calibrated: its temperature is {temperature:.4g}" in capsys.readouterr().out
    with onnx_network.opened(file) as network:
        assert network.calibration == replace(calibrated.beside(lab.weights, print), path=file)


@pytest.mark.slow
def test_a_prediction_beside_a_damaged_file_writes_nothing(lab, capsys):
    try:
        lab.file.write_text("{")
        assert run(f"predict stgcn --weights {lab.weights} --input {lab.data} --output {lab.folder}/none") == 2
    finally:
        lab.file.write_text(json.dumps(lab.told))
    err = capsys.readouterr().err
    assert "remove it, or calibrate again" in err and err.count("error: ") == 1 and not (lab.folder / "none").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"val_split": "none"}, "held no subjects out (val_split: none)"),
        ({"train_feeder_args": {}}, "has no train_feeder_args"),
        ({"subjects": None}, "reads no subjects from this archive"),
        ({"classes": "9"}, "class 9 is not among the network's 0..3"),
    ],
)
def test_a_training_that_tells_nothing_is_one_line(lab, tmp_path, capsys, changes, says):
    config = {**lab.config, **changes}
    if config.pop("subjects", 1) is None:
        with np.load(lab.data) as file:
            np.savez(tmp_path / "nobody.npz", **{key: file[key] for key in file if "subject" not in key})
        config = yaml.safe_load(yaml.safe_dump(config).replace(str(lab.data), str(tmp_path / "nobody.npz")))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    before = lab.file.read_text()
    assert run(f"calibrate stgcn --weights {lab.weights} --config {tmp_path}/own.yaml") == 2
    err = capsys.readouterr().err
    assert says in err and err.count("error: ") == 1 and lab.file.read_text() == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("calibrate stgcn", "the following arguments are required: --weights"),
        ("calibrate stgcn --weights none.pt", "--weights none.pt: there is no such file"),
        ("calibrate stgcn --weights w.pt", "--config: there is no config.yaml beside the weights"),
        ("calibrate stgcn --weights w.pt --config c.yaml", "--config c.yaml: there is no such file"),
        ("calibrate fsvae --weights w.pt", "trains on features, not on clips"),
        ("calibrate nowhere --weights w.pt", "there is no room 'nowhere'"),
        ("calibrate stgcn --weights w.pt --bins 3", "--bins"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, monkeypatch, capsys, line, says):
    monkeypatch.chdir(tmp_path)
    Path("w.pt").write_bytes(b"")
    assert run(line) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("error: ") == 1


def test_log_probabilities_have_no_energy():
    """Programs that average the probabilities of several clips of a recording leave logarithms of probabilities."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    logits = log_softmax(rng.normal(0, 1, (200, 3)) + 2 * np.eye(3)[labels], 1)
    made = figures(logits[:100], labels[:100], logits, np.where(np.arange(200) < 150, labels, 77), np.arange(3))
    assert made["reject"]["score"] == "max probability" and list(made["unknown"]["scores"]) == ["max probability"]
    assert made["unknown"]["unknown"] == 50 and made["before"]["samples"] == 150
    all_right = figures(logits[:100], logits[:100].argmax(1), logits, labels, np.arange(3))
    assert all_right["temperature"] == 1 and not all_right["fitted"] and all_right["unknown"] is None
