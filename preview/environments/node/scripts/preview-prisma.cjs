#!/usr/bin/env node
// Makes the Prisma client of the project in the working folder: `preview-prisma SCHEMA`. Without Prisma's engine, the
// client asks the database through an adapter, if the environment has them. Else the client has its types, and where
// Prisma makes none, a stand-in takes its place: both let the application start, and fail each question to the database
// with one sentence.
'use strict';

const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const schema = process.argv[2];
/** The file below the nearest `node_modules` that has it: a workspace's packages are in the folder above. */
function installed(name) {
  for (let folder = process.cwd(); ; folder = path.dirname(folder)) {
    const found = path.join(folder, 'node_modules', name);
    if (fs.existsSync(found)) return found;
    if (folder === path.dirname(folder)) return path.resolve('node_modules', name);
  }
}

const tool = installed('prisma/build/index.js');
// The client that packages load is beside the package that loads it.
const clients = path.join(path.dirname(path.dirname(installed('@prisma/client'))), '.prisma', 'client');

/** The schema's files: one, or all in a folder. */
function schemaFiles() {
  if (!fs.statSync(schema).isDirectory()) return [schema];
  const names = fs.readdirSync(schema, { recursive: true }).filter((name) => name.endsWith('.prisma')).sort();
  return names.map((name) => path.join(schema, name));
}

function schemaText() {
  return schemaFiles().map((file) => fs.readFileSync(file, 'utf8')).join('\n');
}

/** The folder of the file with the generators, against which they give their outputs. */
function schemaFolder() {
  const found = schemaFiles().find((file) => /^\s*generator\s/m.test(fs.readFileSync(file, 'utf8')));
  return found ? path.dirname(found) : schema;
}

const SCALARS = new Set('String Boolean Int BigInt Float Decimal DateTime Json Bytes'.split(' '));

/** Whether the client needs the engine that could not be downloaded: since version 7 it brings its own. */
function needsMissingEngine() {
  if (!/\/(?:no-prisma-engine|prisma-with-adapters)$/.test(process.env.PRISMA_QUERY_ENGINE_LIBRARY || '')) return false;
  const { version } = JSON.parse(fs.readFileSync(path.join(path.dirname(tool), '..', 'package.json'), 'utf8'));
  return parseInt(version, 10) < 7 && !/engineType\s*=\s*"client"/.test(schemaText());
}

// Generators of packages are found as npm's scripts find them.
const env = { ...process.env, PATH: `${installed('.bin')}:${process.env.PATH}` };
const NO_ENGINE = 'its engine could not be downloaded from binaries.prisma.sh';

/** Make the client with its types alone, which Prisma 5.2 and later do without an engine; whether it could. */
function generateTypes() {
  // The stand-in is JavaScript: TypeScript that is generated keeps its own.
  if (outputs().some(([, typescript]) => typescript)) return false;
  const done = spawnSync(process.execPath, [tool, 'generate', '--no-engine', '--schema', schema], { stdio: 'ignore', env });
  const files = outputs().map(([folder]) => path.join(folder, 'index.js'));
  if (done.status !== 0 || !files.every((file) => fs.existsSync(file))) return false;
  for (const file of files) {
    const error = 'const { PrismaClientInitializationError } = exports.Prisma;';
    fs.appendFileSync(file, `\n{\n${error}\n${clientStandIn(NO_ENGINE)}exports.PrismaClient = PrismaClient;\n}\n`);
  }
  return true;
}

// By the provider of the schema: the adapter's package, its class, what the class is made of, and since which version.
// Before version 6.6, adapters are made of a driver's own pool or client.
const URL_OF_FILE = `'file:' + fromFolder(FOLDER, text.replace(/^file:|\\?.*$/g, ''))`;
const SCHEMA_OF_URL = `{ schema: url.searchParams.get('schema') || undefined }`;
const ADAPTERS = {
  postgresql: [
    ['pg', 'PrismaPg', `[{ connectionString: text }, ${SCHEMA_OF_URL}]`, 6.06],
    ['pg', 'PrismaPg', `[new (require('pg').Pool)({ connectionString: text }), ${SCHEMA_OF_URL}]`, 5.11],
  ],
  mysql: [
    ['mariadb', 'PrismaMariaDb', `[{ host: url.hostname, port: Number(url.port || 3306), user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password), database: url.pathname.slice(1) }]`, 6.11],
  ],
  // As with the engine, a relative path begins in the schema's folder.
  sqlite: [
    ['libsql', 'PrismaLibSQL', `[{ url: ${URL_OF_FILE} }]`, 6.06],
    ['libsql', 'PrismaLibSQL', `[require('@libsql/client').createClient({ url: ${URL_OF_FILE} })]`, 5.11],
  ],
};
// From this version on, the client plans queries without an engine; before, it brings an engine for other runtimes.
const PLANS_SINCE = 6.07;

/** Prisma's version as a number: 6.07 for 6.7.1. */
function prismaVersion() {
  const { version } = JSON.parse(fs.readFileSync(path.join(path.dirname(tool), '..', 'package.json'), 'utf8'));
  const [major, minor] = version.split('.').map(Number);
  return major + minor / 100;
}

/** What the schema says of its database: the provider, and the address as JavaScript. */
function datasource() {
  const body = (schemaText().match(/^datasource\s+\w+\s*\{([^}]*)\}/m) || [])[1] || '';
  const provider = (body.match(/^\s*provider\s*=\s*"(\w+)"/m) || [])[1];
  const [, name, fixed] = body.match(/^\s*url\s*=\s*(?:env\("(\w+)"\)|("[^"\\]*"))/m) || [];
  return [provider === 'postgres' ? 'postgresql' : provider, name ? `process.env.${name}` : fixed || 'process.env.DATABASE_URL'];
}

/** The source of a class above the generated one, which opens the adapter. */
function adapterSource([, name, given], address) {
  return `const opened = (text) => {
  const url = new URL(text);
  return new ${name}(...${given.replace('FOLDER', JSON.stringify(path.resolve(schemaFolder())))});
};
const withAdapter = (Own) => class PrismaClient extends Own {
  constructor(given) {
    const { datasources, datasourceUrl, ...rest } = given || {};
    const [first] = Object.values(datasources || {});
    const text = datasourceUrl || (first && first.url) || ${address};
    super(rest.adapter || rest.accelerateUrl || !text ? given : { ...rest, adapter: opened(text) });
  }
};
`;
}

/** Make the client that asks the database through an adapter; whether it could. */
function generateWithAdapter() {
  if (!/prisma-with-adapters$/.test(process.env.PRISMA_QUERY_ENGINE_LIBRARY)) return false;
  const version = prismaVersion();
  const [provider, address] = datasource();
  const adapter = (ADAPTERS[provider] || []).find(([, , , since]) => version >= since);
  if (!adapter || (version < PLANS_SINCE && outputs().some(([, typescript]) => typescript))) return false;
  const before = new Map(schemaFiles().map((file) => [file, fs.readFileSync(file, 'utf8')]));
  for (const [file, text] of before) fs.writeFileSync(file, withoutEngine(text, version));
  const done = spawnSync(process.execPath, [tool, 'generate', '--schema', schema], { stdio: 'ignore', env });
  for (const [file, text] of before) fs.writeFileSync(file, text);
  const files = outputs().map(([folder, typescript]) => path.join(folder, typescript ? 'client.ts' : 'index.js'));
  if (done.status !== 0 || !files.every((file) => fs.existsSync(file))) return false;
  const name = `@prisma/adapter-${adapter[0]}`;
  const source = adapterSource(adapter, address);
  for (const file of files) {
    const text = version < PLANS_SINCE ? withOtherEngine(path.dirname(file)) : fs.readFileSync(file, 'utf8');
    const whole = file.endsWith('.ts') ? asTypeScript(text, adapter[1], name, source) : asScript(text, adapter[1], name, source);
    fs.writeFileSync(file, whole);
  }
  return true;
}

/** The script of a client with the engine for other runtimes, a module of WebAssembly that Node can load, too. */
function withOtherEngine(folder) {
  const engine = "new WebAssembly.Module(fs.readFileSync(new URL('./query_engine_bg.wasm', import.meta.url)))";
  const loader = `import fs from 'node:fs';\nexport default Promise.resolve({ default: ${engine} });\n`;
  fs.writeFileSync(path.join(folder, 'wasm-worker-loader.mjs'), loader);
  return "module.exports = { ...require('./wasm.js') };";
}

function asScript(text, name, from, source) {
  const imports = `const { resolve: fromFolder } = require('path');\nconst { ${name} } = require('${from}');`;
  return `${text}\n{\n${imports}\n${source}module.exports.PrismaClient = withAdapter(module.exports.PrismaClient);\n}\n`;
}

function asTypeScript(text, name, from, source) {
  const imports = `import { resolve as fromFolder } from 'node:path';\nimport { ${name} } from '${from}';\n`;
  // The file begins with a comment that keeps the compiler from checking it.
  const above = text.replace(/^(?=import )/m, () => `${imports}${source}`);
  return above.replace(/^(export const PrismaClient = )(.*)$/m, '$1(withAdapter as any)($2)');
}

/** A schema's text whose clients need no engine: by an option since version 6.16, by preview features before. */
function withoutEngine(text, version) {
  const isNew = version >= 6.16;
  const features = version < PLANS_SINCE ? ['driverAdapters'] : ['queryCompiler', 'driverAdapters'];
  return text.replace(/^generator\s+\w+\s*\{[^}]*\}/gm, (block) => {
    if (!/provider\s*=\s*"prisma-client(?:-js)?"/.test(block)) return block;
    const listed = (block.match(/previewFeatures\s*=\s*\[([^\]]*)\]/) || [])[1] || '';
    const named = [...listed.matchAll(/"(\w+)"/g)].map(([, one]) => one);
    const wanted = isNew ? named : [...new Set([...named, ...features])];
    const added = `${isNew ? '  engineType = "client"\n' : ''}  previewFeatures = ${JSON.stringify(wanted)}\n}`;
    return block.replace(/^\s*(?:previewFeatures\s*=\s*\[[^\]]*\]|engineType\s*=.*$)/gm, '').replace(/\}$/, added);
  });
}

function generate() {
  if (!fs.existsSync(tool)) return "the project's package.json does not require prisma";
  if (needsMissingEngine()) return NO_ENGINE;
  const done = spawnSync(process.execPath, [tool, 'generate', '--schema', schema], {
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
    env,
  });
  if (done.status === 0) return null;
  process.stderr.write(done.stderr);
  const lines = done.stderr.split('\n').map((line) => line.trim());
  const telling = lines.find((line) => line.startsWith('error: ')) || lines.find((line) => /^error: /i.test(line));
  const said = telling || lines.find(Boolean) || `exit code ${done.status}`;
  return said.replace(/^error: /i, '').slice(0, 300);
}

/** Folders of the clients that the schema asks for, with whether each is TypeScript source. */
function outputs() {
  const text = schemaText().replace(/^\s*\/\/.*$/gm, '');
  const found = [];
  for (const [, body] of text.matchAll(/generator\s+\w+\s*\{([^}]*)\}/g)) {
    const provider = (body.match(/provider\s*=\s*"([^"]+)"/) || [])[1];
    const output = (body.match(/output\s*=\s*"([^"]+)"/) || [])[1];
    const folder = output && path.resolve(schemaFolder(), output);
    if (provider === 'prisma-client' && folder) found.push([folder, true]);
    else if (provider === 'prisma-client-js') found.push([folder || clients, false]);
  }
  return found.length ? found : [[clients, false]];
}

function standIn(reason) {
  const text = schemaText();
  const enums = {};
  for (const [, name, body] of text.matchAll(/^enum\s+(\w+)\s*\{([^}]*)\}/gm)) {
    const values = body.split('\n').map((line) => line.trim().split(/\s/)[0]).filter((word) => /^\w+$/.test(word));
    enums[name] = Object.fromEntries(values.map((value) => [value, value]));
  }
  const models = [...text.matchAll(/^model\s+(\w+)\s*\{([^}]*)\}/gm)].map(([, name, body]) => ({
    name,
    dbName: (body.match(/@@map\(\s*(?:name:\s*)?"([^"]+)"/) || [])[1] || null,
    fields: [...body.matchAll(/^\s*(\w+)\s+(\w+)(\[\])?(\?)?/gm)].map(([, field, type, list, maybe]) => ({
      name: field,
      type,
      kind: /^[A-Z]/.test(type) && !SCALARS.has(type) ? (Object.hasOwn(enums, type) ? 'enum' : 'object') : 'scalar',
      isList: Boolean(list),
      isRequired: !maybe,
    })),
  }));
  const datamodel = { models, enums: Object.keys(enums).map((name) => ({ name })), types: [] };
  return `const enums = ${JSON.stringify(enums)};
class PrismaClientInitializationError extends Error {}
const errors = ['PrismaClientKnownRequestError', 'PrismaClientUnknownRequestError', 'PrismaClientRustPanicError', 'PrismaClientValidationError'];
const known = { PrismaClientInitializationError, ...Object.fromEntries(errors.map((name) => [name, class extends Error {}])) };
known.dmmf = { datamodel: ${JSON.stringify(datamodel)} };
known.defineExtension = (one) => one;
known.validator = () => (one) => one;
// What else it has, Decimal and sql and the like, is looked at only when the database is asked.
const Prisma = new Proxy(known, { get: (target, name) => (name in target ? target[name] : function Unknown(one) { return one; }) });
${clientStandIn(reason)}`;
}

/** The source of a class `PrismaClient` that asks no database. */
function clientStandIn(reason) {
  return `const reason = ${JSON.stringify(reason)};
const fail = () => Promise.reject(new PrismaClientInitializationError('The Prisma client was not generated: ' + reason));
const model = new Proxy({}, { get: () => fail });
class PrismaClient {
  constructor() {
    return new Proxy(this, {
      get(target, name, receiver) {
        if (name === 'then' || typeof name === 'symbol') return undefined;
        // A service that extends the client has methods of its own; NestJS calls each hook that is not undefined.
        if (name in target) return Reflect.get(target, name, receiver);
        if (/^(?:on|before)(?:Module|Application)/.test(name)) return undefined;
        if (name === '$connect' || name === '$disconnect') return () => Promise.resolve();
        if (name === '$on' || name === '$use') return () => undefined;
        if (name === '$extends') return () => new PrismaClient();
        return String(name).startsWith('$') ? fail : model;
      },
    });
  }
}
`;
}

function writeStandIn(reason) {
  const source = standIn(reason);
  const names = [...source.matchAll(/^const enums = (.*);$/gm)].flatMap(([, json]) => Object.keys(JSON.parse(json)));
  for (const [folder, typescript] of outputs()) {
    fs.mkdirSync(folder, { recursive: true });
    if (typescript) {
      const enumExports = names.map((name) => `export const ${name} = enums.${name};`).join('\n');
      const client = `// @ts-nocheck\n${source}export { PrismaClient, Prisma };\n${enumExports}\n`;
      for (const name of ['client.ts', 'index.ts', 'enums.ts']) fs.writeFileSync(path.join(folder, name), client);
    } else {
      // One line each: so that `import` finds the names.
      const lines = ['PrismaClient', 'Prisma'].map((name) => `exports.${name} = ${name};`);
      const script = [source, ...lines, ...names.map((name) => `exports.${name} = enums.${name};`), ''].join('\n');
      for (const name of ['index.js', 'default.js']) fs.writeFileSync(path.join(folder, name), script);
      const manifest = path.join(folder, 'package.json');
      if (!fs.existsSync(manifest)) fs.writeFileSync(manifest, '{"type": "commonjs"}\n');
    }
  }
}

const reason = generate();
if (reason === NO_ENGINE && generateWithAdapter()) {
  process.stdout.write("the Prisma client asks the database through an adapter: Prisma's engine could not be downloaded\n");
} else if (reason === NO_ENGINE && generateTypes()) {
  process.stdout.write(`the Prisma client has its types and no engine (${reason}): the application starts, its database calls fail\n`);
} else if (reason !== null) {
  writeStandIn(reason);
  process.stdout.write(`the Prisma client could not be generated (${reason}): a stand-in lets the application start, its database calls fail\n`);
}
