/** What people typed for users and tenants whose ids this process has looked up. */
const typed = new Map<string, string>()

/** Remembers what somebody typed for an id: messages name it so. */
export function rememberTypedName(id: string, name: string): void {
  if (id !== name.toLowerCase()) typed.set(id, name)
}

/** Names users and tenants in a message as they were typed. */
export function withTypedNames(message: string): string {
  let text = message
  for (const [id, name] of typed) text = text.replaceAll(id, name)
  return text
}
