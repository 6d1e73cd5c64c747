// E2B's own JavaScript SDK against the service: its examples, unchanged but for the address.
import assert from "node:assert/strict";
import { get } from "node:http";
import { test } from "node:test";

process.env.E2B_API_URL = `${process.env.PREVIEW_URL}/e2b/api`;
process.env.E2B_SANDBOX_URL = `${process.env.PREVIEW_URL}/e2b/sandbox`;
process.env.E2B_API_KEY = process.env.PREVIEW_TOKEN;
process.env.E2B_VALIDATE_API_KEY = "false";
const { Sandbox } = await import("e2b");

test("the first example of the SDK", async () => {
  const sandbox = await Sandbox.create();
  const result = await sandbox.commands.run('echo "Hello from E2B!"');
  assert.equal(result.stdout, "Hello from E2B!\n");
  assert.equal(await sandbox.isRunning(), true);
  assert.equal(await sandbox.kill(), true);
  assert.equal(await sandbox.isRunning(), false);
});

test("files and commands see the same, and a second client finds the sandbox", async () => {
  const sandbox = await Sandbox.create({ metadata: { for: "a test" }, envs: { TWO: "2" } });
  try {
    await sandbox.files.write("notes/hello.txt", "hi");
    assert.equal(await sandbox.files.read("/home/user/notes/hello.txt"), "hi");
    assert.deepEqual((await sandbox.files.list("/home/user")).map((one) => one.name), ["notes"]);
    assert.equal(await sandbox.files.exists("none"), false);
    const found = await Sandbox.list({ query: { metadata: { for: "a test" } } }).nextItems();
    assert.deepEqual(found.map((one) => one.sandboxId), [sandbox.sandboxId]);
    const same = await Sandbox.connect(sandbox.sandboxId);
    const heard = [];
    const result = await same.commands.run("cat notes/hello.txt; echo $TWO; echo no >&2", { onStderr: (text) => heard.push(text) });
    assert.deepEqual([result.stdout, result.stderr, heard.join("")], ["hi2\n", "no\n", "no\n"]);
    await assert.rejects(same.commands.run("exit 3"), (error) => error.exitCode === 3);
    const background = await sandbox.commands.run("sleep 1000", { background: true });
    assert.deepEqual((await sandbox.commands.list()).map((one) => one.pid), [background.pid]);
    assert.equal(await background.kill(), true);
    await sandbox.commands.run("python3 -m http.server 3000", { background: true });
    await sandbox.commands.run("until curl -sf localhost:3000 > /tmp/page; do :; done");
    const said = await asked(sandbox.getHost(3000));
    assert.deepEqual([said.status, said.text.includes("notes/")], [200, true]);
    assert.equal((await asked(sandbox.getHost(3001))).status, 502);
    await sandbox.setTimeout(60_000);
    await assert.rejects(sandbox.files.watchDir("."), /not covered/);
    await assert.rejects(sandbox.pause(), /not covered/);
  } finally {
    await sandbox.kill();
  }
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), /not found/);
});

/** Node does not resolve names below localhost everywhere, as browsers do. */
function asked(host) {
  return new Promise((done, failed) => {
    get(process.env.PREVIEW_URL, { headers: { Host: host } }, async (response) => {
      let text = "";
      for await (const piece of response) text += piece;
      done({ status: response.statusCode, text });
    }).on("error", failed);
  });
}
