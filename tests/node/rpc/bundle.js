import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { build } from 'esbuild';

const CONTRACT = path('../../../crates/tl-wire/proto');
const PACKAGES = path('../node_modules');

/**
 * Makes one file of this one and all that it imports; answers with where it is. What is imported from
 * `contract` is made of the contract by protoc-gen-es.
 */
export async function bundle(entry, platform) {
  const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
  const outfile = join(directory, 'bundle.mjs');
  await generate(directory);
  await build({
    alias: { contract: join(directory, 'throughline/v1') },
    bundle: true,
    entryPoints: [path(entry)],
    format: 'esm',
    nodePaths: [PACKAGES],
    outfile,
    platform,
  });
  return outfile;
}

async function generate(out) {
  const plugin = { local: join(PACKAGES, '.bin/protoc-gen-es'), opt: 'target=js', out };
  const template = JSON.stringify({ version: 'v2', plugins: [plugin] });
  const buf = join(PACKAGES, '.bin/buf');
  await promisify(execFile)(buf, ['generate', '--template', template, CONTRACT]);
}

function path(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}
