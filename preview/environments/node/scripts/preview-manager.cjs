#!/usr/bin/env node
// Stands in for yarn, pnpm and bun in a project's own scripts, where they are not installed: `yarn build`,
// `pnpm run build`, `yarn tsc`. Packages are there already, so that an installation is nothing to do.
'use strict';

const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const manager = path.basename(process.argv[1]);
const words = process.argv.slice(2);
const INSTALLS = new Set(['install', 'i', 'ci', 'add', 'link', 'dedupe']);

/** The folder that the options before the command name, which they lose. */
function folder() {
  let found = process.cwd();
  while (words[0] && words[0].startsWith('-')) {
    const option = words.shift();
    if (['--cwd', '-C', '--dir', '--prefix'].includes(option)) found = path.resolve(words.shift() || '.');
    else if (/^--(cwd|dir|prefix)=/.test(option)) found = path.resolve(option.slice(option.indexOf('=') + 1));
  }
  return found;
}

function scripts(directory) {
  try {
    return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8')).scripts || {};
  } catch {
    return {};
  }
}

function run(program, args, directory) {
  const done = spawnSync(program, args, { cwd: directory, stdio: 'inherit' });
  if (done.error) process.stderr.write(`${manager}: ${done.error.message}\n`);
  return done.status === null ? 1 : done.status;
}

const directory = folder();
if (['run', 'run-script', 'exec', 'x', 'dlx'].includes(words[0])) words.shift();
if (words[0] === '--') words.shift();
const [name, ...rest] = words;
if (name === undefined || (INSTALLS.has(name) && !(name in scripts(directory)))) {
  process.stdout.write(`${manager}: the packages are there already, nothing is installed\n`);
} else if (name in scripts(directory)) {
  process.exitCode = run('npm', ['run', name, '--', ...rest.filter((word) => word !== '--')], directory);
} else {
  process.exitCode = run(name, rest, directory);
}
