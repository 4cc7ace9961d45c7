import pytest

from components.recsys import lineage
from components.recsys.errors import InputError


def test_equal_files_give_equal_digests_and_one_changed_byte_another(tmp_path) -> None:
    digests = []
    for name, text in [("a", "x"), ("b", "x"), ("c", "y")]:
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text(text)
        digests.append(lineage.record(folder, "prepare", {"events": "0" * 64}, {"seed": 1})["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_the_record_can_be_read_without_any_service(tmp_path) -> None:
    (tmp_path / "weights").write_bytes(b"w")
    written = lineage.record(tmp_path, "train", {"split": "ab"}, {"candidate": "ease"})
    assert lineage.read(tmp_path) == written
    assert written["files"].keys() == {"weights"}
    assert written["code"]["version"]


def test_a_folder_without_a_record_is_no_artifact(tmp_path) -> None:
    with pytest.raises(InputError, match="not an artifact"):
        lineage.read(tmp_path)
