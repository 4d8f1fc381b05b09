/** Text of `tenants2fast.config.ts`, with the access rules of the starter application or without any. */
export function configFile({ hasApp }: { readonly hasApp: boolean }): string {
  const access = hasApp ? "import { access } from './access.js'\n" : ''
  const options = hasApp ? '{ access }' : '{}'
  return `import type { CreateTenancyOptions } from 'tenants2fast'
${access}
// What the command line opens the installation with: the options that the application gives createTenancy(). Settings and
// secrets are in .env and the environment.
export default ${options} satisfies CreateTenancyOptions
`
}
