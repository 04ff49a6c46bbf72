"""scripts/engine-flags: what it derives from sources of the engines' shapes, and that the committed table is one it would write."""

import subprocess
import tarfile

from deployment import ROOT

SCRIPT = ROOT / "scripts" / "engine-flags"
TABLE = ROOT / "data" / "engine-flags.txt"

OLD_VLLM = '''
CHOICES = ["red", "blue"]
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument('--depth', '-dep', type=int, default=3)
        parser.add_argument('--colour', choices=[*CHOICES, 'green'])
        parser.add_argument('--quick', action='store_true', help='[DEPRECATED] it is always quick')
        parser.add_argument('--names', nargs='+')
'''
NEW_VLLM = '''
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        shape_kwargs = get_kwargs(ShapeConfig)
        group = parser.add_argument_group(title="x")
        group.add_argument("--depth", "-dep", **shape_kwargs["depth"])
        group.add_argument("--quick", **shape_kwargs["quick"])
        shape_kwargs["extra"]["type"] = json.loads
        group.add_argument("--extra", **{**shape_kwargs["extra"], "default": None})
        for flag, kind in [("--left", int), ("--right", float)]:
            group.add_argument(flag, type=kind, deprecated=True)
'''
CONFIG = '''
Shape = Literal["round", "square"]
@config
class ShapeConfig:
    depth: Optional[int] = None
    quick: bool = False
    extra: str = ""
    shape: Shape = "round"
'''
SGLANG = '''
class ServerArgs:
    width: A[Optional[int], "How wide."] = None
    fast: A[bool, Arg(help="Deprecated: it is.", aliases=["--swift"])] = False
    hidden: A[bool, Arg(no_cli=True)] = False
    rules: A[str, Arg(help="x", type_parser=json.loads)] = ""
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--gone", action=DeprecatedAction, help="x")
class DeprecatedAction(Action):
    def __call__(self):
        raise ValueError("no longer")
'''
ARG_CPP = '''
    add_opt(common_arg(
        {"-w", "--width"}, "N",
        string_format("how (wide), \\"quoted\\""),
        [](common_params & params, int value) { params.width = value; }
    ).set_env("LLAMA_ARG_WIDTH"));
    add_opt(common_arg(
        {"--tidy"}, {"--no-tidy"}, "tidy up",
        [](common_params & params, bool value) { params.tidy = value; }
    ).set_examples({LLAMA_EXAMPLE_SERVER}));
    add_opt(common_arg({"--bench-only"}, "x", [](common_params & params) { }).set_examples({LLAMA_EXAMPLE_BENCH}));
    add_opt(common_arg({"--heat"}, "N", "x", [](common_params & params, const std::string & value) { params.heat = std::stof(value); }));
    add_opt(common_arg({"-ws", "--weights"}, "N0,N1,...", "x", [](common_params & params, const std::string & value) { params.w[0] = std::stof(value); }));
    add_opt(common_arg({"--mode"}, "{a,b}", "x", [](common_params & params, const std::string & value) { }));
    add_opt(common_arg({"--pair"}, "A", "B", "x", [](common_params & params, const std::string & a, const std::string & b) { }));
'''


def run(*arguments):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=120)


def tree(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def rows(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_committed_table_is_what_the_script_writes(tmp_path):
    out = tmp_path / "again.txt"
    done = run("--merge", TABLE, "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_text() == TABLE.read_text()


def test_releases_of_vllm_become_spans(tmp_path):
    old = tree(tmp_path / "vllm-0.1.0", {"vllm/engine/arg_utils.py": OLD_VLLM})
    new = tree(tmp_path / "vllm-0.2.0", {"vllm/engine/arg_utils.py": NEW_VLLM, "vllm/config/shape.py": CONFIG})
    packed = tmp_path / "vllm-0.2.0.tar.gz"  # a release file says its version by its name
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(new, "vllm-0.2.0")
    done = run(old, packed)
    assert done.returncode == 0, done.stderr
    assert [row for row in rows(done.stdout) if row.startswith("vllm ")] == [
        "vllm --colour colour str 1 0.1.0 0.1.0 - blue|green|red",
        "vllm --depth depth int 1 0.1.0 - - -",
        "vllm --extra extra json 1 0.2.0 - - -",
        "vllm --left left int 1 0.2.0 - d -",
        "vllm --names names str + 0.1.0 0.1.0 - -",
        "vllm --quick quick switch 0 0.1.0 0.1.0 d -",
        "vllm --quick quick bool 0 0.2.0 - - -",
        "vllm --right right float 1 0.2.0 - d -",
        "vllm -dep depth int 1 0.1.0 - - -",
    ]


def test_sglang_and_llama_cpp_are_read(tmp_path):
    sglang = tree(tmp_path / "sglang-0.3.0", {"sglang/srt/server_args.py": SGLANG})
    many = "".join(f'add_opt(common_arg({{"--flag-{i}"}}, "x", [](common_params & params) {{ }}));\n' for i in range(60))
    llama = tree(tmp_path / "llama.cpp", {"common/arg.cpp": ARG_CPP + many})
    done = run(sglang, f"{llama}=b77")
    assert done.returncode == 0, done.stderr
    found = [row for row in rows(done.stdout) if "--flag-" not in row]
    assert found == [
        "versions llama 77",
        "versions sglang 0.3.0",
        "llama --heat heat float 1 77 - - -",
        "llama --mode mode str 1 77 - - -",
        "llama --no-tidy !tidy bool 0 77 - - -",
        "llama --pair pair str 2 77 - - -",
        "llama --tidy tidy bool 0 77 - - -",
        "llama --weights weights str 1 77 - - -",
        "llama --width width int 1 77 - - -",
        "llama -w width int 1 77 - - -",
        "llama -ws weights str 1 77 - - -",
        "llama LLAMA_ARG_WIDTH width int 1 77 - - -",
        "sglang --fast fast switch 0 0.3.0 - d -",
        "sglang --gone gone str 1 0.3.0 - r -",
        "sglang --rules rules json 1 0.3.0 - - -",
        "sglang --swift fast switch 0 0.3.0 - d -",
        "sglang --width width int 1 0.3.0 - - -",
    ]


def test_what_cannot_be_read_is_named(tmp_path):
    empty = tree(tmp_path / "nothing-1.0", {"a.py": "x = 1\n"})
    done = run(empty, tmp_path / "no-such-file")
    assert done.returncode == 1 and "no engine that is known" in done.stderr and "no such file" in done.stderr
    nameless = tree(tmp_path / "checkout", {"vllm/engine/arg_utils.py": OLD_VLLM})
    assert "say it: SOURCE=VERSION" in run(nameless).stderr
