// Measures which functions of the project the time goes to, as preview_profile.py does, with V8's own sampler. Calls are
// not counted: V8 counts them by changing each function's code. Of a library only the function that the project has
// called is shown. Any error here has no effect on the program: the service gets no profile.
'use strict';

const inspector = require('inspector');
const path = require('path');
const { fileURLToPath } = require('url');

const INTERVAL_US = 5000;
const LONGEST_S = 60;
const MOST_NODES = 500;
const MOST_DEPTH = 40;
const MOST_NAME = 120;
const MOST_PLACE = 200;
// The service takes 256 KiB. A node takes so many bytes besides its name and place.
const MOST_BYTES = 240 * 1024;
const NODE_BYTES = 60;
let isRunning = false;

/** Return the place of an own function, relative to the root; nothing for any other. */
function placeOf({ url, lineNumber }, root) {
  const file = url.startsWith('file:') ? fileURLToPath(url) : url;
  if (!file.startsWith(root + path.sep) || file.includes(`${path.sep}node_modules${path.sep}`)) return '';
  return `${file.slice(root.length + 1)}:${lineNumber + 1}`;
}

function nameOf({ functionName, url }, place) {
  const name = functionName || '(anonymous)';
  const library = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url);
  if (place) return name;
  return library ? `${library[1]}.${name}` : name;
}

class Tree {
  constructor(root) {
    this.root = root;
    this.nodes = [];
    this.leftOut = 0;
    this.bytes = 0;
    this.index = new Map();
  }

  /** Add microseconds to the innermost function of a stack, which is given from there on. */
  add(stack, took) {
    const own = [];
    stack.forEach((frame, at) => {
      const place = placeOf(frame, this.root);
      if (!place) return;
      // Called by the innermost own function. What the engine does by itself has no file.
      if (own.length === 0 && at > 0 && stack[at - 1].url) own.push([stack[at - 1], '']);
      own.push([frame, place]);
    });
    let parent = -1;
    for (const [frame, place] of own.reverse().slice(0, MOST_DEPTH)) {
      const key = `${parent} ${frame.scriptId} ${frame.lineNumber} ${frame.columnNumber} ${frame.functionName}`;
      if (!this.index.has(key)) {
        if (this.nodes.length >= MOST_NODES || this.bytes >= MOST_BYTES) {
          this.leftOut += 1;
          break;
        }
        this.index.set(key, this.nodes.length);
        const node = [parent, nameOf(frame, place).slice(0, MOST_NAME), place.slice(-MOST_PLACE), 0, -1];
        this.bytes += Buffer.byteLength(JSON.stringify(node.slice(1, 3))) + NODE_BYTES;
        this.nodes.push(node);
      }
      parent = this.index.get(key);
    }
    if (parent >= 0) this.nodes[parent][3] += took;
  }
}

function treeOf(profile, root) {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map();
  for (const node of profile.nodes) for (const child of node.children || []) parents.set(child, node.id);
  const times = new Map();
  profile.samples.forEach((id, at) => {
    times.set(id, (times.get(id) || 0) + Math.max(0, Math.round(profile.timeDeltas[at] || 0)));
  });
  const tree = new Tree(root);
  for (const [id, took] of times) {
    const stack = [];
    for (let one = id; one !== undefined; one = parents.get(one)) stack.push(byId.get(one).callFrame);
    tree.add(stack, took);
  }
  return tree;
}

function report(number, profile, root, channel) {
  const tree = treeOf(profile, root);
  const lines = tree.nodes.map((node) => `profile ${number} ${JSON.stringify(node)}\n`);
  const elapsed = Math.max(0, Math.round(profile.endTime - profile.startTime));
  const end = `profiles ${number} [${elapsed},${profile.samples.length},${tree.leftOut}]\n`;
  channel.write(lines.join('') + end);
}

exports.report = report;

/** Measure for some seconds from now on, and report over the channel; do nothing if a measurement runs. */
exports.start = function start(number, seconds, root, channel) {
  if (isRunning) return;
  isRunning = true;
  const session = new inspector.Session();
  function end() {
    isRunning = false;
    session.disconnect();
  }
  try {
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US });
    session.post('Profiler.start');
    const timer = setTimeout(
      () => {
        session.post('Profiler.stop', (error, found) => {
          try {
            if (!error) report(number, found.profile, root, channel);
          } catch {
            // There is no profile.
          }
          end();
        });
      },
      Math.min(seconds, LONGEST_S) * 1000,
    );
    // The measurement alone must not keep the program running.
    timer.unref();
  } catch {
    end();
  }
};
