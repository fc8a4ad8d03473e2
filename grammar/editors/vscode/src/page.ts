// The page of the preview. Knows nothing of VS Code.

/** What the preview shows. */
export type Content = { readonly svg: string } | { readonly error: string };

/**
 * Returns the page: a picture, or what is wrong. It runs no script and loads nothing: the picture is in the page, as an
 * image, in which nothing is executed either.
 */
export function page(content: Content, nonce: string): string {
  const policy = `default-src 'none'; img-src data:; style-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>Graph</title>
<style nonce="${nonce}">
body { background: #ffffff; padding: 1em; }
img { max-width: 100%; }
pre { background: #ffffff; color: #1f2328; white-space: pre-wrap; }
.vscode-dark, .vscode-high-contrast:not(.vscode-high-contrast-light) { filter: invert(1) hue-rotate(180deg); }
</style>
</head>
<body>
${'svg' in content ? image(content.svg) : `<pre>${escaped(content.error)}</pre>`}
</body>
</html>
`;
}

function image(svg: string): string {
  // The page is turned dark as a whole, as VS Code says; the system's own setting does not count.
  const plain = svg.replace(/<style>@media \(prefers-color-scheme: dark\)[^<]*<\/style>/, '');
  return `<img alt="The stages and what they wait for" src="data:image/svg+xml;base64,${Buffer.from(plain).toString('base64')}">`;
}

function escaped(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, character => names[character] ?? '');
}
