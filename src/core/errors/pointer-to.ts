/** Writes the path of a field as a JSON pointer (RFC 6901), in its form as the fragment of a URI. */
export function pointerTo(path: readonly PropertyKey[]): string {
  const names = path.map((part) =>
    String(part)
      .replaceAll(/\p{Cs}/gu, '\ufffd')
      .replaceAll('~', '~0')
      .replaceAll('/', '~1'),
  )
  return ['#', ...names.map(encodeURIComponent)].join('/')
}
