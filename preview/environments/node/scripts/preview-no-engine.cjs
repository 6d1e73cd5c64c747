#!/usr/bin/env node
// Stands before the project's own `prisma` where its engine could not be downloaded: what needs the engine says so in one
// sentence, all else is passed on.
'use strict';

const path = require('path');

if (['migrate', 'db'].includes(process.argv[2])) {
  process.stderr.write(
    "Error: Prisma's engine could not be downloaded (binaries.prisma.sh): no migration is run and no table is made; let " +
      "the service's machine reach it, or set PRISMA_ENGINES_MIRROR, and clear the cache\n",
  );
  process.exitCode = 1;
} else {
  require(path.join(__dirname, '..', 'prisma', 'build', 'index.js'));
}
