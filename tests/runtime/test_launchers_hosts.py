"""The hook in Node's programs leads names and addresses of servers elsewhere to the preview's own servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

PROGRAM = """
const dns = require('dns');
dns.lookup = (host, options, callback = options) => {
  if (host === 'known.example') return callback(null, '192.0.2.7', 4);
  callback(Object.assign(new Error(host), { code: host.startsWith('slow') ? 'ETIMEOUT' : 'ENOTFOUND' }));
};
require(process.argv[2]).leadHome('barn.example,known.example,slow.example');
const ask = (host, ...options) =>
  new Promise((resolve) => dns.lookup(host, ...options, (error, ...found) => resolve(error ? error.code : found)));
(async () => {
  const found = [await ask('Barn.example'), await ask('barn.example', { all: true }), await ask('barn.example', 4)];
  for (const host of ['known.example', 'slow.example', 'other.example']) found.push(await ask(host));
  console.error(JSON.stringify(found));
})();
"""


def test_a_name_that_nothing_knows_leads_to_the_preview_s_own_server(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(PROGRAM)
    argv = ["node", "app.js", str(LAUNCHERS / "hosts.cjs")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=90, check=True, text=True)
    own = ["127.0.0.1", 4]
    all_of_them = [[{"address": "127.0.0.1", "family": 4}]]
    assert json.loads(done.stderr) == [own, all_of_them, own, ["192.0.2.7", 4], "ETIMEOUT", "ENOTFOUND"]
    assert done.stdout == "barn.example cannot be reached: the name leads to the preview's own server\n"


CONNECTS = """
const net = require('net');
const os = require('os');
const { nic } = process.env;
if (nic === 'untold') os.networkInterfaces = () => { throw new Error('uv_interface_addresses returned Unknown'); };
else os.networkInterfaces = () => ({ lo: [{ internal: true }], ...(nic ? { eth0: [{ internal: false }] } : {}) });
const asked = [];
net.Socket.prototype.connect = function (...given) {
  const first = Array.isArray(given[0]) ? given[0][0] : given[0];
  asked.push(typeof first === 'object' ? first.host : given[1]);
  return this;
};
require(process.argv[2]).leadHome('barn.example,192.0.2.9');
net.connect(3306, '192.0.2.9');
net.createConnection({ port: 3306, host: '192.0.2.9' });
new net.Socket().connect(3306, '192.0.2.9');
new net.Socket().connect({ port: 3306, host: '192.0.2.8' });
net.connect(3306);
console.error(JSON.stringify(asked));
"""


@pytest.mark.parametrize(("nic", "is_alone"), [("", True), ("1", False), ("untold", False)])
def test_an_address_elsewhere_leads_home_only_without_a_network(tmp_path: Path, nic: str, is_alone: bool) -> None:
    (tmp_path / "app.js").write_text(CONNECTS)
    argv = ["node", "app.js", str(LAUNCHERS / "hosts.cjs")]
    environment = {**os.environ, "nic": nic}
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=90, check=True, text=True, env=environment)
    host = "127.0.0.1" if is_alone else "192.0.2.9"
    assert json.loads(done.stderr) == [host, host, host, "192.0.2.8", None]
    said = "192.0.2.9 cannot be reached: it leads to the preview's own server\n"
    assert done.stdout == (said if is_alone else "")
