/** A folder that run.mjs makes and removes, also after an interrupted run: the bundles lie there, and what has to be a file. */
export const scratch = process.env.MCPCTL_BENCH_SCRATCH ?? '.'
