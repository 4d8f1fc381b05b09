import { describeContext } from './context.js'
import { describeErrors } from './errors.js'
import { fastifyDriver } from './fastify-driver.js'
import { describeGuards } from './guards.js'
import { describeHeaders } from './headers.js'
import { honoDriver } from './hono-driver.js'
import { describeMounted } from './mounted.js'
import { describeRefusals } from './refusals.js'
import { describeSpellings } from './spellings.js'

for (const driver of [fastifyDriver, honoDriver]) {
  describeRefusals(driver)
  describeGuards(driver)
  describeContext(driver)
  describeErrors(driver)
  describeHeaders(driver)
  describeMounted(driver)
  describeSpellings(driver)
}
