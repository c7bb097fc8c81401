/** Owns the thread of a look at S3: the client's 20 MiB go with it, and are not the main thread's for ever. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Config } from '../config.js'
import { lookAtS3 } from './backend-look.js'

parentPort?.postMessage(await lookAtS3(workerData as Config['storage']['s3']))
