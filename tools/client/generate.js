// Prints the types of the management API's client, made of docs/openapi.json. It is here because openapi-typescript needs the
// TypeScript 5 of this folder's package.json.
import openapiTS, { astToString } from 'openapi-typescript'

const nodes = await openapiTS(new URL('../../docs/openapi.json', import.meta.url))
process.stdout.write(`// Made by \`npm run -s client-types\`. Do not edit.\n${astToString(nodes)}`)
