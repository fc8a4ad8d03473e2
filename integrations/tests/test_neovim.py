"""Neovim, set up as docs/editor.md says: its own client and its own tree-sitter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PIPELINE = """\
pipeline p {
  param day: string
  stage load {
    image = "a:1"
    run = \"\"\"
      # ${day} "${day}"
      echo "${day}" | grep x
    \"\"\"
    pod \"\"\"
      hostNetwork: false
    \"\"\"
  }
  stage report after laod { image = "a:1", run = "true" }
}
"""


def blocks(language: str) -> list[str]:
    """The blocks of a language in the section of the page."""
    page = (ROOT / "docs/editor.md").read_text()
    section = page.split("\n## Neovim\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody who has done what the page says."""
    home = tmp_path_factory.mktemp("home")
    [init] = blocks("lua")
    [install] = blocks("sh")
    (home / ".config/nvim").mkdir(parents=True)
    (home / ".config/nvim/init.lua").write_text(init)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-euc", install], cwd=ROOT, env=environment, check=True)
    return home


def play(home: Path, folder: Path, script: str) -> Any:
    """Opens the pipeline in Neovim, and returns what the Lua function returns."""
    (folder / "p.kon").write_text(PIPELINE)
    result = folder / "result.json"
    driver = folder / "driver.lua"
    driver.write_text(
        "local ok, value = pcall(function()\n" + script + "\nend)\n"
        f"local file = assert(io.open('{result}', 'w'))\n"
        "file:write(vim.json.encode({ ok = ok, value = value }))\n"
        "file:close()\n"
        "vim.cmd('qall!')\n"
    )
    koncli = Path(os.environ["KONCLI"]).parent
    environment = {
        "HOME": str(home),
        "PATH": f"{koncli}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
    }
    # The one of the venv, whatever else is installed.
    nvim = Path(sys.executable).parent / "nvim"
    command = [str(nvim), "--headless", "p.kon", "-c", f"luafile {driver}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.exists(), done.stdout + done.stderr
    answer = json.loads(result.read_text())
    assert answer["ok"], answer["value"]
    # Until koncli has a language server, the client says that there is none.
    complaints = [line for line in done.stderr.splitlines() if "Client konductor quit" not in line]
    assert complaints == []
    return answer["value"]


def test_a_pipeline_has_its_file_type_and_colours(home: Path, tmp_path: Path) -> None:
    """Neovim finds the parser, accepts its version, and knows every predicate of the queries."""
    script = """
      local buffer = vim.api.nvim_get_current_buf()
      vim.treesitter.get_parser(buffer):parse(true)
      local function at(line, column)
        local names = {}
        for _, capture in ipairs(vim.treesitter.get_captures_at_pos(buffer, line - 1, column - 1)) do
          if capture.capture ~= 'spell' then table.insert(names, capture.lang .. ':' .. capture.capture) end
        end
        return names
      end
      return {
        type = vim.bo.filetype,
        comment = vim.bo.commentstring,
        highlighted = vim.treesitter.highlighter.active[buffer] ~= nil,
        pipeline = at(1, 1), name = at(3, 9), image = at(4, 5), hole = at(7, 15),
      }
    """
    value = play(home, tmp_path, script)
    assert value == {
        "type": "konductor",
        "comment": "# %s",
        "highlighted": True,
        "pipeline": ["konductor:keyword"],
        "name": ["konductor:function"],
        "image": ["konductor:property"],
        "hole": ["konductor:string", "konductor:variable"],
    }


def test_what_is_inside_is_another_language(home: Path, tmp_path: Path) -> None:
    """Only the text: an interpolation is no shell."""
    script = """
      local buffer = vim.api.nvim_get_current_buf()
      local query = vim.treesitter.query.get('konductor', 'injections')
      local root = vim.treesitter.get_parser(buffer):parse()[1]:root()
      local found = {}
      for _, match, metadata in query:iter_matches(root, buffer) do
        for id, nodes in pairs(match) do
          if query.captures[id] == 'injection.content' then
            local line = nodes[1]:range()
            table.insert(found, metadata['injection.language'] .. ' ' .. line + 1)
          end
        end
      end
      return found
    """
    value = play(home, tmp_path, script)
    assert value == ["bash 5", "yaml 9", "bash 13"]


def test_blocks_fold(home: Path, tmp_path: Path) -> None:
    """The level of each line: pipeline, body, block."""
    script = """
      vim.wo.foldmethod = 'expr'
      vim.wo.foldexpr = 'v:lua.vim.treesitter.foldexpr()'
      local levels = {}
      for line = 1, vim.fn.line('$') do table.insert(levels, vim.fn.foldlevel(line)) end
      return levels
    """
    value = play(home, tmp_path, script)
    assert value == [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 2, 1, 1]


def test_the_language_server_reports_a_mistake(home: Path, tmp_path: Path) -> None:
    """The client starts it by itself, with nothing but what the page says."""
    has_server = subprocess.run([os.environ["KONCLI"], "lsp", "--help"], capture_output=True, check=False)
    if has_server.returncode != 0:
        pytest.skip("this koncli has no language server")
    script = """
      local buffer = vim.api.nvim_get_current_buf()
      assert(vim.wait(20000, function() return #vim.diagnostic.get(buffer) > 0 end), 'no diagnostic')
      local first = vim.diagnostic.get(buffer)[1]
      return { line = first.lnum + 1, code = first.code }
    """
    assert play(home, tmp_path, script) == {"line": 13, "code": "K0201"}
