"""The hook in Node's programs: sources that swc compiles may import each other in a circle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

# Stands for swc's loader: the sources below are what it makes of two classes with decorators.
LOADER = """
require(process.argv[2]).allowCircles();
require.extensions['.ts'] = require.extensions['.js'];
require('./shop.ts');
"""
SHOP = """"use strict";
function _export(target, all) {
    for(var name in all)Object.defineProperty(target, name, {
        enumerable: true,
        get: Object.getOwnPropertyDescriptor(all, name).get
    });
}
_export(exports, {
    get Shop () {
        return Shop;
    },
    get open () {
        return open;
    }
});
const _till = require("./till");
let Shop = class Shop {
};
const open = ()=>_till.Till.name;
console.log(open(), _till.seen());
"""
TILL = """"use strict";
Object.defineProperty(exports, "Till", {
    enumerable: true,
    get: function() {
        return Till;
    }
});
const _shop = require("./shop");
const told = typeof _shop.Shop === "undefined" ? Object : _shop.Shop;
let Till = class Till {
};
exports.seen = ()=>`${told.name} ${_shop.Shop.name}`;
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    argv = ["node", "app.js", str(LAUNCHERS / "circles.cjs")]
    return subprocess.run(argv, cwd=folder, capture_output=True, timeout=90, check=False, text=True)


def test_a_class_that_its_file_has_not_reached_is_undefined(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    (tmp_path / "shop.ts").write_text(SHOP)
    (tmp_path / "till.ts").write_text(TILL)
    done = run(tmp_path)
    assert done.stdout.strip() == "Till Object Shop", done.stderr


def test_an_error_keeps_its_line_and_own_getters_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    own = (
        "const early = {\n    get rate () {\n        return rate;\n    }\n};\nconsole.log(early.rate);\nlet rate = 1;\n"
    )
    (tmp_path / "shop.ts").write_text(SHOP.partition("const _till")[0] + own)
    done = run(tmp_path)
    assert "Cannot access 'rate' before initialization" in done.stderr
    assert f"shop.ts:{SHOP.partition('const _till')[0].count(chr(10)) + 3}\n" in done.stderr


def test_a_package_is_compiled_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    package = tmp_path / "node_modules" / "till"
    package.mkdir(parents=True)
    (package / "index.js").write_text("exports.Till = class Till {}; exports.seen = () => require('./other.ts');\n")
    (package / "other.ts").write_text(TILL.replace('require("./shop")', "exports").replace("_shop.Shop", "_shop.Till"))
    (tmp_path / "shop.ts").write_text(SHOP.replace('"./till"', '"till"'))
    assert "Cannot access 'Till' before initialization" in run(tmp_path).stderr


# What swc makes of `@Get() find(status: OrderStatus, page: Level, where: Place, who: User): Promise<string>`; another
# file has the types.
DECORATED = """"use strict";
const _types = require("./types");
function _ts_metadata(k, v) {
    if (typeof Reflect === "object" && typeof Reflect.metadata === "function") return Reflect.metadata(k, v);
}
_ts_metadata("design:paramtypes", [
    typeof _types.OrderStatus === "undefined" ? Object : _types.OrderStatus,
    typeof _types.Level === "undefined" ? Object : _types.Level,
    typeof _types.Place === "undefined" ? Object : _types.Place,
    typeof _types.User === "undefined" ? Object : _types.User
]);
_ts_metadata("design:type", typeof _types.OrderStatus === "undefined" ? Object : _types.OrderStatus);
_ts_metadata("design:returntype", typeof Promise === "undefined" ? Object : Promise);
_ts_metadata("design:type", void 0);
"""
OLDER = """function _ts_metadata(metadataKey, metadataValue) {
    if (typeof Reflect === "object" && typeof Reflect.metadata === "function") {
        return Reflect.metadata(metadataKey, metadataValue);
    }
}
"""
TYPES = """
exports.OrderStatus = { REQUESTED: 'REQUESTED', PAID: 'PAID' };
var Level = {};
Level[Level["Low"] = -1] = "Low";
Level[Level["High"] = 1] = "High";
exports.Level = Level;
exports.Place = { Home: 1, Away: 'away' };
exports.User = class User {};
"""
METADATA = "Reflect.metadata = (key, types) => console.log(key, [types].flat().map((one) => one && one.name).join());"


@pytest.mark.parametrize(
    "source", [DECORATED, OLDER + DECORATED.partition("}\n")[2].join(['const _types = require("./types");\n', ""])]
)
def test_decorators_get_the_type_of_an_imported_enumeration_and_not_the_enumeration(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "app.js").write_text(METADATA + LOADER)
    (tmp_path / "shop.ts").write_text(source)
    (tmp_path / "types.ts").write_text(TYPES)
    done = run(tmp_path)
    assert done.stdout.splitlines() == [
        "design:paramtypes String,Number,Object,User",
        "design:type String",
        "design:returntype Promise",
        "design:type ",
    ], done.stderr


def test_a_long_line_is_read_in_time_that_grows_with_its_length(tmp_path: Path) -> None:
    """A source map stands in one line. A second look at what is before each of its characters would take minutes."""
    (tmp_path / "app.js").write_text(LOADER)
    (tmp_path / "shop.ts").write_text(f"console.log('read');\n//# sourceMappingURL={'A' * 2_000_000}\n")
    done = run(tmp_path)
    assert done.stdout.strip() == "read", done.stderr
