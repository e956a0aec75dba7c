import { countPerStream, openProjector } from './counting'

/** A process of its own that follows a log from its beginning to `head`, and tells its parent how much memory it takes. */
const [url = '', head = '0', table = ''] = process.argv.slice(2)

const mebibytes = (bytes: number) => Math.round((bytes / 2 ** 20) * 10) / 10

const projector = await openProjector(url, { name: table, modelVersion: 1, project: countPerStream(table) })
const tell = () => process.send?.({ rss: mebibytes(process.memoryUsage.rss()) })
tell()
const sampling = setInterval(tell, 50)
await projector.reach(BigInt(head))
clearInterval(sampling)
tell()
// What the operating system has seen between the samples; kibibytes.
process.send?.({ peak: mebibytes(process.resourceUsage().maxRSS * 1024) })
await projector.close()
process.disconnect()
