// What package.json promises is what the code does.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const sources = readdirSync('src').map(name => readFileSync(`src/${name}`, 'utf8')).join('\n');

const all = (pattern: RegExp) => [...sources.matchAll(pattern)].map(found => found[1]).sort();

test('each command of the manifest is registered, and no other', () => {
  const commands = manifest.contributes.commands.map((command: { command: string }) => command.command).sort();
  assert.deepEqual(all(/registerCommand\('([\w.]+)'/g), commands);
});

test('each setting of the manifest is read, by this extension or by the language client', () => {
  const settings = Object.keys(manifest.contributes.configuration.properties);
  assert.deepEqual(settings, ['konductor.path', 'konductor.trace.server']);
  assert.deepEqual(all(/getConfiguration\('konductor'\)\.get<string>\('(\w+)'/g), ['path']);
});

test('no workspace chooses the program that is run', () => {
  assert.equal(manifest.contributes.configuration.properties['konductor.path'].scope, 'machine');
  assert.deepEqual(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations, ['konductor.path']);
});

test('each file that the manifest names is in the package', () => {
  const { languages, grammars } = manifest.contributes;
  for (const path of [manifest.main, languages[0].configuration, grammars[0].path, ...manifest.files]) {
    assert.ok(existsSync(path), path);
  }
});

test('nothing is loaded from elsewhere, and no shell is started', () => {
  assert.doesNotMatch(sources, /https?:\/\/|shell: true|\bexec\(|eval\(|enableScripts: true/);
});

test('the version is that of konductor', () => {
  const workspace = readFileSync('../../../Cargo.toml', 'utf8');
  assert.equal(manifest.version, /^version = "(.*)"$/m.exec(workspace)?.[1]);
});
