import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'

/**
 * Waits for the catalog's answer. A missing answer is an outage, never a wrong password or a bad link.
 *
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
 */
export const answered = <Answer>(answer: Promise<Answer>): Promise<Answer> => catalogAnswer(answer, 'accounts')
