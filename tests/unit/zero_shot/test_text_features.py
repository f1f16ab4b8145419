"""Class texts, tokeniser, text tower and weights files of the zero-shot rooms."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from parity.protocol import fill
from places import PARITY, ROOT
from torch import nn

from skeleton_lab.errors import ArchiveError, UsageError, WeightsError
from skeleton_lab.zero_shot.demo import Demo
from skeleton_lab.zero_shot.text import generate, torchscript, weights
from skeleton_lab.zero_shot.text.sources import HEADERS, MODES, RESOURCES, read_csv, texts
from skeleton_lab.zero_shot.text.tokens import CONTEXT, Tokenizer, find_merges, read_merges
from skeleton_lab.zero_shot.text.tower import TextTower


@pytest.fixture(scope="module")
def published() -> dict:
    return json.loads((PARITY / "msf_gzssar.json").read_text())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    pytest.importorskip("ftfy")
    pytest.importorskip("regex")
    try:
        return Tokenizer(read_merges(find_merges()))
    except UsageError as error:
        pytest.skip(str(error))


class Reference(nn.Module):
    """The text tower from PyTorch's own layers, whole rows, additive mask."""

    def __init__(self, state: dict[str, torch.Tensor], layers: int) -> None:
        super().__init__()
        self.state, width = state, state["text_projection"].shape[0]
        self.layers = []
        for i in range(layers):
            layer = nn.TransformerEncoderLayer(
                width, width // 64, 4 * width, 0.0, lambda u: u * torch.sigmoid(1.702 * u), 1e-5, True, True
            )
            own = {key.split(f"resblocks.{i}.")[1]: v for key, v in state.items() if f"resblocks.{i}." in key}
            new = {
                "attn": "self_attn",
                "ln_1": "norm1",
                "ln_2": "norm2",
                "mlp.c_fc": "linear1",
                "mlp.c_proj": "linear2",
            }
            renamed = {}
            for key, value in own.items():
                old = next(word for word in new if key.startswith(word + "."))
                renamed[key.replace(old, new[old], 1)] = value
            layer.load_state_dict(renamed)
            self.layers.append(layer.eval())

    @torch.no_grad()
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        state, length = self.state, ids.shape[1]
        x = state["token_embedding.weight"][ids] + state["positional_embedding"]
        mask = torch.full((length, length), float("-inf")).triu(1)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        x = nn.functional.layer_norm(x, x.shape[-1:], state["ln_final.weight"], state["ln_final.bias"])
        return x[torch.arange(len(ids)), ids.argmax(1)] @ state["text_projection"]


def small(width: int = 128, layers: int = 3, out: int = 24, vocabulary: int = 500) -> TextTower:
    torch.manual_seed(3)
    tower = TextTower(width, layers, out, vocabulary)
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.1)
    return tower.eval()


def rows(count: int = 9, vocabulary: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    result = np.zeros((count, CONTEXT), np.int64)
    for row, length in zip(result, [3, 77, *rng.integers(3, 60, count - 2)]):
        row[:length] = rng.integers(1, vocabulary - 2, length)
        row[0], row[length - 1] = vocabulary - 2, vocabulary - 1
    return result


# texts


@pytest.mark.parametrize("mode", MODES)
def test_every_class_has_one_text_of_the_published_form(mode: str) -> None:
    lines = (RESOURCES / f"{mode}_120.csv").read_text("utf-8").split("\n")
    assert lines[0] == HEADERS[mode]
    assert lines[121:] == [""]
    assert all(line.count(",") == 1 and '"' not in line for line in lines[:121])
    found = texts(mode, 120)
    assert len(found) == len(set(found)) == 120
    assert texts(mode, 60) == found[:60]


def test_labels_are_the_published_ones() -> None:
    labels = texts("lb", 120)
    assert labels[0] == "drink water"
    assert labels[56] == "touch other person's pocket"
    assert labels[108] == "grab other person’s stuff"
    assert labels[119] == "finger-guessing game (playing rock-paper-scissors)"


def test_own_texts_come_first_and_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "ad_60.csv"
    path.write_text("idx,label\n" + "".join(f"{i},text number {i}\n" for i in range(1, 61)))
    assert texts("ad", 60, tmp_path)[59] == "text number 60"
    assert texts("md", 60, tmp_path) == texts("md", 60)
    path.write_text("idx,label\n1,one\n3,three\n")
    with pytest.raises(ArchiveError, match=r"ad_60\.csv, line 3.*'2,<text>'"):
        read_csv(path)
    path.write_text("idx,label\n1,one\n")
    with pytest.raises(ArchiveError, match="1 texts; 60 are expected"):
        texts("ad", 60, tmp_path)


# tokens


def test_tokens_of_all_labels_are_the_published_ones(tokenizer: Tokenizer, published: dict) -> None:
    table = tokenizer(texts("lb", 120))
    assert table.shape == (120, 77)
    assert table.dtype == np.int64
    for i, row in enumerate(table, 1):
        expected = published["tokens"][str(i)]
        assert row.tolist() == expected + [0] * (77 - len(expected))


def test_vocabulary_and_cleaning(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.ids) == 49408
    assert tokenizer.ids["<|startoftext|>"] == 49406
    assert tokenizer.clean("  A &amp;amp; B’s\n\tC ") == "a & b's c"
    assert tokenizer.encode("<|endoftext|>") == [49407]
    assert len(tokenizer.encode("2026")) == 4  # digits stand alone
    assert all(tokenizer.ids.get(s) is not None for s in tokenizer._merged("naïve"))


def test_descriptions_fit_a_row_and_a_longer_text_is_named(tokenizer: Tokenizer) -> None:
    for mode in MODES:
        assert (tokenizer(texts(mode, 120)) != 0).sum(1).max() < 40
    with pytest.raises(UsageError, match=r"'hop hop.*has 102 tokens; CLIP takes 77"):
        tokenizer(["hop " * 100])


def test_merges_given_wrongly(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--bpe .*no such file"):
        find_merges(tmp_path / "none.gz")
    other = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    other.write_bytes(b"\x1f\x8bdamaged")
    assert find_merges(None, [tmp_path]) == other
    with pytest.raises(UsageError, match="cannot be read"):
        read_merges(other)
    other.write_text("version\na b\n")
    with pytest.raises(UsageError, match="48894 lines"):
        read_merges(other)


# tower


@pytest.mark.slow
@pytest.mark.parametrize(("args", "out", "classes"), [("args", "out", range(1, 7)), ("args2", "out2", range(101, 105))])
def test_tower_replays_the_published_encoder(published: dict, args: str, out: str, classes: range) -> None:
    sizes = published["text_encoder"][args]
    tower = TextTower(sizes["transformer_width"], sizes["transformer_layers"], sizes["embed_dim"])
    if args == "args":
        manifest = {name: tuple(shape) for name, shape in published["text_encoder"]["manifest"]}
        assert {name: tuple(value.shape) for name, value in tower.state_dict().items()} == manifest
    fill(tower)
    table = np.zeros((len(classes), CONTEXT), np.int64)
    for row, i in zip(table, classes):
        row[: len(published["tokens"][str(i)])] = published["tokens"][str(i)]
    expected = np.load(PARITY / "msf_gzssar.npz")[f"text_encoder/{out}"]
    found = tower.encode(table, torch.device("cpu"), batch=4)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_tower_equals_pytorchs_own_layers() -> None:
    tower, table = small(), rows()
    expected = Reference(tower.state_dict(), 3)(torch.from_numpy(table)).numpy()
    for batch in (64, 2):
        found = tower.encode(table, torch.device("cpu"), batch)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# weights


class _Leaf(nn.Module):
    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        self.visual = nn.Conv2d(3, 4, 2)
        self.logit_scale = nn.Parameter(torch.ones([]))
        for name, module in tower.named_children():
            self.add_module(name, _Plain(module))
        self.positional_embedding = nn.Parameter(tower.positional_embedding.data.half())
        self.text_projection = nn.Parameter(tower.text_projection.data.half().t().contiguous().t())
        self.register_buffer("vocab_size", torch.tensor(500))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.logit_scale


class _Plain(nn.Module):
    """Any module's parameters, scriptable."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for name, child in module.named_children():
            self.add_module(name, _Plain(child))
        for name, parameter in module.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(parameter.data.half()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(_Leaf(small()), torch.zeros(1)), path)
    return path


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_read_without_its_programs(archive: Path) -> None:
    expected = torch.jit.load(archive).state_dict()
    found = torchscript.read(archive)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name
    text = weights.read(archive)
    assert text.keys() == small().state_dict().keys()


def test_tower_of_an_archive_equals_that_of_a_state_dict(archive: Path, tmp_path: Path) -> None:
    plain = tmp_path / "text.pt"
    torch.save({"state_dict": {k: v.half() for k, v in small().state_dict().items()}}, plain)
    a, b = (weights.load_tower(path).encode(rows(), torch.device("cpu")) for path in (archive, plain))
    np.testing.assert_array_equal(a, b)
    expected = small().encode(rows(), torch.device("cpu"))
    assert np.abs(a - expected).max() < 5e-3 * np.abs(expected).max()  # the files are in half precision


class _Bomb:
    def __reduce__(self):
        return exec, ("import builtins; builtins.exploded = True",)


def test_archive_with_a_program_in_its_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bomb/constants.pkl", pickle.dumps(()))
        file.writestr("bomb/data.pkl", pickle.dumps(_Bomb()))
    with pytest.raises(WeightsError, match=r"bomb\.pt: .*asks for builtins\.exec"):
        weights.load_tower(path)
    import builtins

    assert not hasattr(builtins, "exploded")


def test_damaged_and_foreign_weights_are_one_line(archive: Path, tmp_path: Path) -> None:
    content = archive.read_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"cut\.pt"):
        weights.load_tower(cut)
    other = tmp_path / "other.pt"
    torch.save({"fc.weight": torch.zeros(2, 2)}, other)
    with pytest.raises(WeightsError, match="holds no CLIP text tower"):
        weights.load_tower(other)
    state = small().state_dict()
    state["transformer.resblocks.1.ln_1.bias"] = torch.zeros(3)
    torch.save(state, other)
    with pytest.raises(WeightsError, match=r"resblocks\.1\.ln_1\.bias \(3,\), expected \(128,\)"):
        weights.load_tower(other)


def test_places_of_the_weights(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room, here = tmp_path / "room", tmp_path / "here"
    (room / "text_extractor").mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLIP_WEIGHTS", raising=False)
    monkeypatch.setattr(weights, "URL", (tmp_path / "server").as_uri() + "/{file}")
    with pytest.raises(UsageError, match=r"ViT-B-32\.pt, CLIP's weights, is in none of text_extractor, .*room"):
        weights.find("ViT-B/32", room)
    assert not list((tmp_path / "cache").rglob("*.pt*"))

    inside = room / "text_extractor" / "ViT-B-32.pt"
    inside.write_bytes(archive.read_bytes())
    with pytest.raises(WeightsError, match=r"not OpenAI's ViT-B-32\.pt, or damaged"):
        weights.find("ViT-B/32", room)
    assert weights.find("ViT-B/32", room, str(inside)) == inside
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.HASHES, "ViT-B/32", right)
    assert weights.find("ViT-B/32", room) == inside
    inside.unlink()
    monkeypatch.setenv("CLIP_WEIGHTS", str(archive))
    assert weights.find("ViT-B/32", room) == archive
    monkeypatch.delenv("CLIP_WEIGHTS")

    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "ViT-B-32.pt").write_bytes(archive.read_bytes())
    fetched = weights.find("ViT-B/32", room)
    assert fetched == tmp_path / "cache" / "clip" / "ViT-B-32.pt"
    assert fetched.read_bytes() == archive.read_bytes()


# the program


def program(capsys, *argv: str) -> tuple[int, str, str]:
    code = generate.main(str(ROOT / "FS-VAE" / "gen_text_feat.py"), ntu=120, arch="ViT-B/32", argv=argv)
    return code, *capsys.readouterr()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tower = TextTower(64, 1, 512)
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.1)
    torch.save(tower.state_dict(), tmp_path / "text.pt")
    return tmp_path / "text.pt"


def test_program_makes_exactly_what_is_missing(tokenizer, whole: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "feats"
    kept = folder / "ViT-B" / "32" / "ad_60.npy"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"as it is")
    argv = ("--ntu", "60", "--save_dir", str(folder), "--weights", str(whole))
    code, out, _ = program(capsys, *argv, "--gpu", "-1")
    assert (code, out) == (
        0, "Generating Text Feature ...\nProcessing lb_60 ...\nProcessing md_60 ...\nFinish generating!\n",
    )  # fmt: skip
    assert kept.read_bytes() == b"as it is"
    table = np.load(folder / "ViT-B" / "32" / "md_60.npy")
    assert (table.shape, table.dtype) == ((60, 512), np.float32)
    assert len(np.unique(table, axis=0)) == 60
    assert program(capsys, *argv) == (0, "", "")


@pytest.mark.slow
def test_features_of_two_encoders_are_not_mixed(tokenizer, whole: Path, tmp_path: Path, capsys) -> None:
    """What is there was made with other weights, what is missing would be made with these."""
    folder = tmp_path / "feats"
    argv = ("--ntu", "60", "--save_dir", str(folder), "--gpu", "-1")
    assert program(capsys, *argv, "--weights", str(whole))[0] == 0
    made = folder / "ViT-B" / "32"
    lost = (made / "md_60.npy").read_bytes()
    (made / "md_60.npy").unlink()
    other = tmp_path / "other.pt"
    torch.save({key: value * 2 for key, value in torch.load(whole, weights_only=True).items()}, other)
    code, _, error = program(capsys, *argv, "--weights", str(other))
    assert code == 2 and "made with other CLIP weights" in error and error.count("\n") == 1
    assert not (made / "md_60.npy").exists()
    assert program(capsys, *argv, "--weights", str(whole))[0] == 0
    assert (made / "md_60.npy").read_bytes() == lost

    (tmp_path / "own").mkdir()
    lines = "".join(f"{number},text {number}\n" for number in range(1, 61))
    (tmp_path / "own" / "lb_60.csv").write_text(f"idx,label\n{lines}")
    code, _, error = program(capsys, *argv, "--sem_dir", str(tmp_path / "own"))
    assert code == 0 and "lb_60.npy was made of other texts" in error and "ad_60" not in error


def test_nothing_to_do_needs_no_weights_and_no_packages(tmp_path: Path, capsys, monkeypatch) -> None:
    folder = tmp_path / "ViT-B" / "32"
    folder.mkdir(parents=True)
    for mode in MODES:
        (folder / f"{mode}_120.npy").touch()
    monkeypatch.setitem(sys.modules, "ftfy", None)
    monkeypatch.setitem(sys.modules, "regex", None)
    assert program(capsys, "--save_dir", str(tmp_path)) == (0, "", "")
    code, _, error = program(capsys, "--save_dir", str(tmp_path / "new"))
    assert code == 2
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "words"), [(("--arch", "ViT-L/14"), "--arch ViT-L/14"), (("--ntu", "61"), "--ntu 61")]
)  # fmt: skip
def test_wrong_flags_are_one_line(capsys, argv, words) -> None:
    code, _, error = program(capsys, *argv)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1


# the packaged features of the demo


def test_demo_writes_the_published_features_and_keeps_others(tmp_path: Path) -> None:
    folder = tmp_path / "text_feats" / "ViT-B" / "32"
    folder.mkdir(parents=True)
    (folder / "ad_60.npy").write_bytes(b"mine")
    Demo(tmp_path, "fsvae", "lb", 660, 1, 1, 1).texts()
    published = np.load(PARITY / "text_feats" / "ViT-B" / "32" / "lb_60.npy")
    np.testing.assert_array_equal(np.load(folder / "lb_60.npy"), published)
    assert np.load(folder / "md_60.npy").shape == (60, 512)
    assert (folder / "ad_60.npy").read_bytes() == b"mine"


def test_demo_does_not_mix_settings(tmp_path: Path) -> None:
    Demo(tmp_path, "fsvae", "lb", 660, 2, 1, 1).check()
    Demo(tmp_path, "msf-gzssar", "ad", 660, 2, 9, 9).check()
    with pytest.raises(UsageError, match=r"settings\.json: the folder was made with .*2.*choose another --out"):
        Demo(tmp_path, "fsvae", "lb", 660, 3, 1, 1).check()
