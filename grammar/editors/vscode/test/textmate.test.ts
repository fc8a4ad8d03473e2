// The TextMate grammar in the engine of VS Code: it says what the listing says that a test in Rust writes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import * as oniguruma from 'vscode-oniguruma';
import { INITIAL, parseRawGrammar, Registry } from 'vscode-textmate';

const FOLDER = '../../tests/textmate';
const GRAMMAR = 'dist/konductor.tmLanguage.json';

async function grammar() {
  const wasm = createRequire(`${process.cwd()}/`).resolve('vscode-oniguruma/release/onig.wasm');
  await oniguruma.loadWASM(readFileSync(wasm));
  const registry = new Registry({
    onigLib: Promise.resolve({
      createOnigScanner: patterns => new oniguruma.OnigScanner(patterns),
      createOnigString: text => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => parseRawGrammar(readFileSync(GRAMMAR, 'utf8'), GRAMMAR),
  });
  const loaded = await registry.loadGrammar('source.konductor');
  assert.ok(loaded);
  return loaded;
}

test('VS Code colours a pipeline as listed', async () => {
  const loaded = await grammar();
  const text = readFileSync(`${FOLDER}/pipeline.kon`, 'utf8');
  let stack = INITIAL;
  const listing: string[] = [];
  for (const line of text.trimEnd().split('\n')) {
    listing.push(line);
    const { tokens, ruleStack } = loaded.tokenizeLine(line, stack);
    stack = ruleStack;
    for (const { startIndex, endIndex, scopes } of tokens) {
      const piece = line.slice(startIndex, endIndex);
      const names = scopes.slice(1).map(scope => scope.replace(/\.konductor$/, ''));
      if (piece.trim() !== '') listing.push(`    ${piece} → ${names.join(' ')}`);
    }
  }
  assert.deepEqual(listing, readFileSync(`${FOLDER}/pipeline.txt`, 'utf8').trimEnd().split('\n'));
});
