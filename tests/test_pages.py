"""README and docs: what ``make lint`` checks of them."""

import ast
import runpy


def test_every_python_block_is_type_checked_on_its_own_lines(repository):
    checker = runpy.run_path(str(repository / "tests/type_pages.py"))
    pages = checker["pages"]()
    assert pages[0].name == "README.md" and len(pages) > 5
    blocks = {page.stem: checker["python_blocks"](page) for page in pages}
    for page in pages:
        text = page.read_text()
        assert len(blocks[page.stem]) == text.count("```python")
        for block in blocks[page.stem]:
            lines = text.splitlines()[: block.count("\n")]
            assert lines[-1] == block.splitlines()[-1]
            ast.parse(block)
    assert len(blocks["README"]) == 2 and sum(map(len, blocks.values())) >= 6
    assert "tests/type_pages.py" in (repository / "Makefile").read_text()
