// The suites: unit (in-process, fast), stress (real workers on dist), integration (real servers), hostile (what no client sends), chaos (kill -9), simulation (seeded schedules and faults).
import { defineConfig } from 'vitest/config'

const suite = (name: string, include: string[], testTimeout: number, extra: object = {}) => ({
  test: { name, include, testTimeout, hookTimeout: testTimeout, environment: 'node', ...extra },
})

const alone = { fileParallelism: false, pool: 'forks' as const }

export default defineConfig({
  test: {
    projects: [
      suite('unit', ['test/**/*.test.ts'], 10_000, {
        exclude: [
          'test/stress/**',
          'test/integration/**',
          'test/chaos/**',
          'test/hostile/**',
          'test/simulation/**',
          'node_modules/**',
        ],
      }),
      suite('stress', ['test/stress/**/*.test.ts'], 600_000, alone),
      suite('integration', ['test/integration/**/*.test.ts'], 600_000, alone),
      suite('hostile', ['test/hostile/**/*.test.ts'], 600_000, alone),
      suite('simulation', ['test/simulation/**/*.test.ts'], 1_800_000, alone),
      suite('chaos', ['test/chaos/**/*.test.ts'], 1_800_000, alone),
    ],
  },
})
