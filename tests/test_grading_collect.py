"""Who handed in what: the folders that people have, one name each, nothing passed over in silence."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import nbformat
import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.lab.grading.collect import Found, Roster, Submission, collect, one_line, read_roster
from vswaplab.lab.grading.labs import LABS
from vswaplab.lab.grading.submission import handed_in

LAB = "lab1_resolve"


def notebook(text: str = "x = 1") -> bytes:
    cell = nbformat.v4.new_code_cell(text, metadata={"nbgrader": {"solution": True}})
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode()


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(notebook() if path.suffix in (".ipynb", "") else b"notes")
    return root


def names(found: Found) -> list[str]:
    return [each.name for each in found.submissions]


def zipped(*members: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for member in members:
            archive.writestr(member, notebook())
    return raw.getvalue()


class TestLayouts:
    def test_a_folder_of_notebooks(self, tmp_path: Path) -> None:
        put(tmp_path, "anna.ipynb", "ben.IPYNB", "lab1_resolve.ipynb")
        assert names(collect([tmp_path], LAB, LABS)) == ["anna", "ben", "lab1_resolve"]

    def test_moodle_has_a_folder_for_each(self, tmp_path: Path) -> None:
        put(tmp_path, *(f"{who}_assignsubmission_file_/lab1_resolve.ipynb" for who in ("Ann Lee_101", "Bo Ek_102")))
        assert names(collect([tmp_path], LAB, LABS)) == ["Ann Lee_101", "Bo Ek_102"]
        assert names(collect(sorted(tmp_path.iterdir()), LAB, LABS)) == ["Ann Lee_101", "Bo Ek_102"]

    def test_moodle_without_folders(self, tmp_path: Path) -> None:
        put(tmp_path, "Ann Lee_101_assignsubmission_file_lab1_resolve.ipynb", "Bo_102_assignsubmission_file_x.ipynb")
        assert names(collect([tmp_path], LAB, LABS)) == ["Ann Lee_101", "Bo_102"]

    @pytest.mark.parametrize("given", ["submitted", "", "submitted/*", "submitted/*/lab1_resolve", "files"])
    def test_nbgrader(self, tmp_path: Path, given: str) -> None:
        put(tmp_path, *(f"submitted/{who}/lab1_resolve/lab1_resolve.ipynb" for who in ("anna", "ben")))
        put(tmp_path, "submitted/anna/lab2_allocate/lab2_allocate.ipynb")
        put(tmp_path, "submitted/anna/lab1_resolve/timestamp.txt")
        if given == "files":
            paths = sorted(tmp_path.glob("submitted/*/lab1_resolve/*.ipynb"))
        else:
            paths = sorted(tmp_path.glob(given)) if "*" in given else [tmp_path / given]
        assert names(collect(paths, LAB, LABS)) == ["anna", "ben"]

    def test_what_is_another_labs_is_listed(self, tmp_path: Path) -> None:
        put(tmp_path, "anna/lab1_resolve/lab1_resolve.ipynb", "anna/lab2_allocate/lab2_allocate.ipynb")
        (skipped,) = collect([tmp_path], LAB, LABS).skipped
        assert (skipped.path, skipped.why) == (
            "anna/lab2_allocate/lab2_allocate.ipynb",
            "a submission of lab2_allocate",
        )

    def test_folders_below_folders(self, tmp_path: Path) -> None:
        put(tmp_path, "monday/anna.ipynb", "monday/ben.ipynb", "friday/anna.ipynb", "eva.ipynb")
        assert names(collect([tmp_path], LAB, LABS)) == ["eva", "friday/anna", "monday/anna", "monday/ben"]

    def test_a_zip_of_one_notebook_is_that_learners(self, tmp_path: Path) -> None:
        (tmp_path / "anna.zip").write_bytes(zipped("work/lab1_resolve.ipynb", "__MACOSX/work/._lab1_resolve.ipynb"))
        found = collect([tmp_path], LAB, LABS)
        assert names(found) == ["anna"]
        assert found.submissions[0].digest()

    @pytest.mark.parametrize("member", ["./lab1_resolve.ipynb", "../../work/lab1_resolve.ipynb", "/root/anna.ipynb"])
    def test_paths_in_a_zip_lead_nowhere(self, tmp_path: Path, member: str) -> None:
        (tmp_path / "anna.zip").write_bytes(zipped(member))
        (only,) = collect([tmp_path], LAB, LABS).submissions
        assert handed_in(only.read(), only.file_name).cells
        both = tmp_path / "all.zip"
        both.write_bytes(zipped(member, "ben.ipynb"))
        assert not {"..", "/", ""} & {part for name in names(collect([both])) for part in name.split("/")}

    def test_a_zip_that_is_given_is_a_folder(self, tmp_path: Path) -> None:
        given = tmp_path / "all.zip"
        moodle = [f"{who}_assignsubmission_file_/lab1_resolve.ipynb" for who in ("Ann_1", "Bo_2")]
        given.write_bytes(zipped(*moodle, "Bo_2_assignsubmission_file_/.ipynb_checkpoints/lab1_resolve.ipynb"))
        found = collect([given], LAB, LABS)
        assert names(found) == ["Ann_1", "Bo_2"]
        assert b'"nbformat"' in found.submissions[0].read()

    def test_a_name_that_lost_its_ending_is_a_notebook_all_the_same(self, tmp_path: Path) -> None:
        put(tmp_path, "anna.ipynb")
        for name in ("ben.ipynb.txt", "x" * 253, "carl.json"):
            (tmp_path / name).write_bytes(notebook())
        (tmp_path / "utf16").write_bytes(b"\xff\xfe" + notebook().decode().encode("utf-16-le"))
        assert names(collect([tmp_path])) == ["anna", "ben", "carl.json", "utf16", f"{'x' * 200}…"]


class TestNames:
    def test_two_of_one_name_are_numbered(self, tmp_path: Path) -> None:
        put(tmp_path, "a/anna.ipynb", "b/anna.ipynb", "c/Anna.ipynb")
        assert names(collect(sorted(tmp_path.iterdir()))) == ["Anna", "anna (2)", "anna (3)"]

    def test_the_same_file_twice_is_one_submission(self, tmp_path: Path) -> None:
        put(tmp_path, "anna.ipynb")
        assert names(collect([tmp_path / "anna.ipynb", tmp_path])) == ["anna"]

    def test_names_are_printable_and_on_one_line(self, tmp_path: Path) -> None:
        for name in (
            b"caf\xe9.ipynb",
            b"a\nb.ipynb",
            b"\x1b[2Jc.ipynb",
            "\u202egnp.ipynb".encode(),
            "名.ipynb".encode(),
        ):
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(notebook())
        found = names(collect([tmp_path]))
        assert found == ["\\u202egnp", "\\x1b[2Jc", "a b", "caf\\xe9", "名"]

    @pytest.mark.parametrize("text", ["\ud83d", "a\udce9", "\x00", "x" * 9999, "\u2028", "\r\n", "\x9b"])
    def test_any_text_becomes_one_line(self, text: str) -> None:
        line = one_line(text)
        assert line.isprintable()
        line.encode("utf-8")
        assert len(line) <= 401


class TestWhatIsNone:
    def test_everything_that_is_passed_over_is_listed(self, tmp_path: Path) -> None:
        put(tmp_path, "anna.ipynb", "README.txt", ".DS_Store", ".ipynb_checkpoints/anna.ipynb", "__MACOSX/x.ipynb")
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "zero").symlink_to("/dev/zero")
        (tmp_path / "gone").symlink_to("nowhere")
        (tmp_path / "again").symlink_to(".")
        (tmp_path / "same").symlink_to("anna.ipynb")
        found = collect([tmp_path])
        assert names(found) == ["anna"]
        assert {each.path: each.why for each in found.skipped} == {
            "README.txt": "not a notebook",
            ".DS_Store": "hidden",
            ".ipynb_checkpoints": "hidden",
            "__MACOSX": "hidden",
            "pipe": "a FIFO",
            "zero": "a link to a file outside of the folder",
            "gone": "a link to a file that is not there",
            "again": "a link to a folder",
            "same": "a link to anna.ipynb, which is graded where it lies",
        }

    def test_what_is_named_as_a_notebook_has_a_row_with_its_reason(self, tmp_path: Path) -> None:
        outside = put(tmp_path / "outside", "master.ipynb") / "master.ipynb"
        folder = tmp_path / "folder"
        put(folder, "eva.ipynb")
        os.mkfifo(folder / "anna.ipynb")
        (folder / "ben.ipynb").symlink_to(outside)
        (folder / "carl.ipynb").symlink_to("../outside/master.ipynb")
        (folder / "dora.ipynb").symlink_to("nowhere")
        (folder / "fred.ipynb").symlink_to("/dev/zero")
        found = {each.name: each.refused for each in collect([folder]).submissions}
        assert found == {
            "anna": "It is a FIFO, not a notebook; hand in the .ipynb file itself.",
            "ben": "It is a link to a file outside of the folder; hand in the .ipynb file itself.",
            "carl": "It is a link to a file outside of the folder; hand in the .ipynb file itself.",
            "dora": "It is a link to a file that is not there; hand in the .ipynb file itself.",
            "eva": "",
            "fred": "It is a link to a file outside of the folder; hand in the .ipynb file itself.",
        }
        with pytest.raises(InvalidArgument, match="outside of the folder"):
            Submission("ben", folder / "ben.ipynb", refused=found["ben"]).read()

    def test_a_link_that_is_given_itself_is_followed(self, tmp_path: Path) -> None:
        put(tmp_path / "real", "anna.ipynb")
        (tmp_path / "course").symlink_to("real")
        assert names(collect([tmp_path / "course"])) == ["anna"]

    def test_nothing_to_grade_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match=r"^There are no submissions there"):
            collect([tmp_path])
        put(tmp_path, "README.txt", "notes.md")
        with pytest.raises(InvalidArgument, match=r"Passed over: README.txt \(not a notebook\) and 1 more"):
            collect([tmp_path])
        with pytest.raises(InvalidArgument, match="There is no file or folder"):
            collect([tmp_path / "nobody"])


class TestRoster:
    def test_who_is_missing_and_who_is_not_in_the_class(self) -> None:
        roster = Roster(("Ann Lee", "ben", "Carl Ö", "dora", "eva"))
        found = ["Ann Lee_101", "monday/BEN", "carl_o\u0308_7", "zoe"]
        assert roster.missing(found) == ["dora", "eva"]
        assert roster.unknown(found) == ["zoe"]

    @pytest.mark.parametrize(
        "raw",
        [
            b"anna\nben\n",
            b"\xef\xbb\xbfanna\r\n\r\nben\r\n",
            b"name,mail\nanna,a@x\nben,b@x\n",
            b"Student;Mail\nanna;a@x\nben;b@x\n",
            b"# the class\nanna\tx\nben\ty\n",
            '"anna"\n"ben"\n'.encode("utf-16"),
        ],
    )
    def test_is_read_as_people_have_it(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "class.csv").write_bytes(raw)
        assert read_roster(tmp_path / "class.csv").names == ("anna", "ben")

    @pytest.mark.parametrize("raw", [b"", b"\n\n", b"name\n", b"\xff\x00\xff", b"# nobody"])
    def test_one_that_names_nobody_is_refused(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "class.csv").write_bytes(raw)
        with pytest.raises(InvalidArgument):
            read_roster(tmp_path / "class.csv")
