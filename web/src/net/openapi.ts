// Written by `./dev web` from docs/openapi.json.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Catalogue: {
            models: {
                name: string;
                description: string;
                license: string;
                /** @description of the finished file */
                bytes: number;
                /** @description it is in the models folder */
                local: boolean;
            }[];
            /** @description files in the models folder */
            folder_models: number;
            node: components["schemas"]["Node"];
        };
        /** @description KV cells; those that sequences share count for each of them */
        Cells: {
            model: string;
            /** @enum {unknown} */
            state: "unloaded" | "loading" | "loaded" | "suspended";
            /** @description all; 0 where it is not in memory */
            cells: number;
            /** @description of requests that run */
            running_cells: number;
            /** @description of conversations between their requests */
            kept_cells: number;
            /** @description of ended requests; given up for others */
            cached_cells: number;
            free_cells: number;
            kept_conversations: number;
            /** @description sequences that hold cells, of all tenants */
            running: number;
            /** @description of requests that the client may see, the 50 longest */
            sequences: {
                /** @description of its request */
                id: string;
                tenant: string;
                state: string;
                /** @description its front: the tokens that are computed */
                cells: number;
                /** @description of these, the first ones that other sequences hold as well */
                shared_cells: number;
            }[];
            /** @description what sequences share, as it was age_seconds ago; null where nobody has looked since the load: this call asks for a look, so that the next one has it */
            sharing: {
                age_seconds: number;
                /** @description so many more would be needed without sharing, of all tenants */
                saved_cells: number;
                /** @description with which at least two sequences begin: those that the client may see, the 50 that save most */
                fronts: {
                    /** @description null where cache_salt or prompt_cache_key narrowed the reuse and no request of it runs */
                    tenant: string | null;
                    /** @description its length in tokens, from the first one */
                    cells: number;
                    /** @description those of a shorter shared front of the same sequences are counted there */
                    saved_cells: number;
                    /** @description shorter shared fronts that it begins with, 0 to 2 */
                    depth: number;
                    /** @description sequences of requests that run */
                    running: number;
                    /** @description of conversations between their requests */
                    kept: number;
                    /** @description of ended requests */
                    cached: number;
                }[];
            } | null;
        };
        EndedRequests: {
            requests: {
                id: string;
                model: string;
                tenant: string;
                priority: components["schemas"]["PriorityName"];
                finish: components["schemas"]["FinishName"];
                /** @description a word; null: it ended by itself */
                error: string | null;
                prompt_tokens: number;
                /** @description of the prompt: found from before */
                reused_tokens: number;
                /** @description computed again after others had had its cells */
                recomputed_tokens: number;
                output_tokens: number;
                /** @description from its first token to its end */
                tokens_per_second: number | null;
                /** @description of queue_seconds: for a load, or an earlier turn */
                held_seconds: number;
                /** @description from submission to its first pass, or to its end without one */
                queue_seconds: number;
                /** @description from submission; 0: there was none */
                first_token_seconds: number;
                /** @description without KV cells: others had them, or its reader was slow */
                parked_seconds: number;
                total_seconds: number;
                /** @description since 1970 */
                submitted_ms: number;
                /** @description since 1970 */
                ended_ms: number;
            }[];
        };
        Error: {
            error: {
                /** @description one sentence */
                message: string;
                type: string;
                /** @description the field that is wrong */
                param?: string | null;
                /** @description a word; on llama.cpp's /completion the status, as there */
                code: string | number | null;
                /** @description its place in the body, a JSON pointer */
                pointer?: string;
                /** @description of a model that does not fit: those in whose place it would fit */
                would_have_to_leave?: {
                    model: string;
                    /** @description that would come free */
                    bytes: number;
                    /** @enum {unknown} */
                    state: "idle" | "busy" | "pinned";
                }[];
            } & {
                [key: string]: number;
            };
        };
        Estimate: {
            model: string;
            sequences_max: number;
            sequence_tokens_max: number;
            context_tokens: number;
            kv_type: components["schemas"]["KvType"];
            weight_bytes: number;
            kv_bytes: number;
            compute_bytes: number;
            /** @description weights, KV cells and compute together */
            need_bytes: number;
            /** @description that would have to come free first */
            missing_bytes: number;
            /** @description what the node may take */
            limit_bytes: number;
            /** @description what it has given out */
            promised_bytes: number;
            /** @description what is left of the limit, or of the machine */
            free_bytes: number;
            fits: boolean;
            /** @description idle models that would leave for it; it fits when they have */
            would_leave: string[];
            /** @description what a load or a resize would be refused with now; empty: it would be done */
            refusal: string;
            /** @description completion and chat, or embedding */
            capabilities: string[];
        };
        EventModel: {
            /** @description tenants that keep it in memory */
            leases: string[];
        } & components["schemas"]["ModelRow"];
        EventRequest: {
            /** @description since 1970 */
            submitted_ms: number;
        } & components["schemas"]["RequestRow"];
        /** @enum {unknown} */
        FinishName: "stop" | "length" | "cancelled" | "deadline" | "stalled" | "failed";
        HelloEvent: {
            /** @description another one: the daemon has begun anew */
            epoch: string;
            version: string;
            /** @description the daemon's clock, since 1970 */
            now_ms: number;
            tenant: string;
            scopes: string[];
            topics: ("state" | "requests" | "log" | "turns")[];
            /** @description it goes on behind the last frame of the connection before */
            resumed: boolean;
        };
        History: {
            /** @enum {unknown} */
            step_seconds: 1 | 10;
            /** @description of the last values, since 1970 */
            now_ms: number;
            /** @description oldest first; null: no value */
            totals: {
                [key: string]: (number | null)[];
            };
            models: {
                [key: string]: {
                    [key: string]: (number | null)[];
                };
            };
        };
        /** @description where the body has `against`; of a stream it stands beside the report */
        JobComparison: {
            /** @description the throughput together over that of one at a time; 0: the latter is 0 */
            speedup: number;
            /** @description as `choir parallel --compare` prints it */
            text: string;
        };
        JobError: ({
            code: string;
            message: string;
        } & {
            [key: string]: unknown;
        }) | null;
        /**
         * @description f16 or q8_0
         * @example q8_0
         * @enum {unknown}
         */
        KvType: "f16" | "q8_0";
        Model: {
            /** @description the name that requests use */
            id: string;
            /** @constant */
            object: "model";
            created: number;
            owned_by: string;
            aliases?: string[];
            /** @description under llama.cpp's names; of a file that is not read yet its size only */
            meta: {
                /** @description tokens of the longest sequence */
                n_ctx?: number;
                n_ctx_train?: number;
                n_vocab?: number;
                n_embd?: number;
                n_params?: number;
                /** @description bytes */
                size?: number;
                ftype?: string;
            };
            status: {
                value: string;
                /** @description of loading, 0 to 1 */
                progress?: number;
            };
            /** @description requests; of a declared model, as is waiting */
            running?: number;
            waiting?: number;
            /** @description of a model that has more than one */
            replicas?: number;
            capabilities?: string[];
        };
        ModelList: {
            /** @constant */
            object: "list";
            data: components["schemas"]["Model"][];
        };
        /** @description an executor of a model; counts are since the daemon began */
        ModelRow: {
            name: string;
            path: string;
            /** @enum {unknown} */
            state: "unloaded" | "loading" | "loaded" | "suspended";
            /** @description while it is loading: the part of the weights that is read */
            load_progress: number | null;
            priority: components["schemas"]["PriorityName"];
            /** @description its weight beside others of its class */
            shares: number;
            pinned: boolean;
            sequences_max: number;
            /** @description 0: as many as it has cells */
            sequence_tokens_max: number;
            /** @description KV cells of all sequences together */
            context_tokens: number;
            kv_type: components["schemas"]["KvType"];
            /** @description requests */
            running: number;
            /** @description requests */
            waiting: number;
            /** @description KV cells in use */
            cells: number;
            /** @description of ended requests, kept for reuse */
            cached_cells: number;
            /** @description 0: it is not in memory */
            weight_bytes: number;
            kv_bytes: number;
            compute_bytes: number;
            prompt_tokens: number;
            output_tokens: number;
            /** @description of prompts, found in the prefix cache */
            reused_tokens: number;
            requests_done: number;
            requests_failed: number;
            /** @description requests that lost their cells to others */
            preemptions: number;
            /** @description of its last load; 0: there was none */
            load_seconds: number;
            compute_seconds: number;
            /** @description of its last pass */
            threads: number;
            /** @description of a model that has more than one */
            replicas?: number;
            /** @description the model whose requests it shares */
            replica_of?: string;
        };
        Node: {
            cores: number;
            /** @description which of our kernels run, such as avx512; or off, with the reason */
            kernels: string;
            /** @description threads of each */
            lanes: number[];
            memory_bytes_max: number;
            memory_bytes_promised: number;
            requests_active: number;
            draining: boolean;
        };
        NodeModel: {
            leases: {
                tenant: string;
                /** @description null: for ever */
                seconds_left: number | null;
            }[];
            /** @description since its last request ended */
            idle_seconds: number;
            /** @description the parts that llama.cpp's own kernels compute instead of ours; empty: none */
            not_covered: string;
        } & components["schemas"]["ModelRow"];
        ParallelEvent: {
            /** @constant */
            type: "begin";
            /** @description with it one job can be stopped */
            call: string | null;
            jobs: {
                job: number;
                model: string;
                prompt: string;
                /** @description its id among the requests; null: it is not submitted yet, or was refused */
                request: string | null;
            }[];
        } | {
            /** @constant */
            type: "begun";
            job: number;
            request: string;
        } | {
            /** @constant */
            type: "text";
            job: number;
            /** @description what is new */
            text: string;
            /** @description of the job, so far */
            tokens: number;
        } | {
            /** @constant */
            type: "end";
            job: number;
            finish: components["schemas"]["FinishName"];
            error: components["schemas"]["JobError"];
            usage: {
                prompt_tokens: number;
                output_tokens: number;
                reused_tokens: number;
                queue_seconds: number;
                first_token_seconds: number;
                total_seconds: number;
            };
        } | {
            /** @constant */
            type: "report";
            report: components["schemas"]["Report"];
            /** @description the report as `choir parallel` prints it */
            text: string;
            comparison?: components["schemas"]["JobComparison"];
        } | ({
            /** @constant */
            type: "error";
        } & WithRequired<components["schemas"]["Error"], "error">);
        /**
         * @description critical, high, normal or low
         * @example low
         * @enum {unknown}
         */
        PriorityName: "critical" | "high" | "normal" | "low";
        Pull: {
            model: string;
            /** @enum {unknown} */
            state: "waiting" | "running" | "done" | "failed" | "cancelled";
            cancelling: boolean;
            /** @description what it does now */
            step: string;
            bytes_done: number;
            /** @description 0: not known */
            bytes_total: number;
            /** @description of the file, once it is there */
            path: string | null;
            error: {
                reason: string;
                message: string;
            } | null;
        };
        /** @description the report of `choir parallel --json` */
        Report: {
            load_seconds: number;
            total_seconds: number;
            total_tokens: number;
            /** @description of the sessions */
            average_tokens_per_second: number;
            /** @description tokens a second of all together */
            throughput: number;
            sessions: {
                session_id: number;
                model: string;
                prompt: string;
                text: string;
                prompt_tokens: number;
                tokens: number;
                /** @description since it began to compute */
                seconds: number;
                /** @description since the first submission */
                first_token_seconds: number;
                tokens_per_second: number;
                finish: components["schemas"]["FinishName"];
                error: components["schemas"]["JobError"];
            }[];
            comparison?: components["schemas"]["JobComparison"];
        };
        RequestRow: {
            id: string;
            model: string;
            tenant: string;
            priority: components["schemas"]["PriorityName"];
            /** @enum {unknown} */
            state: "loading" | "waiting" | "prefill" | "decode" | "parked" | "suspended" | "reader_behind" | "ending";
            /** @enum {unknown} */
            waits_for: "nothing" | "load" | "earlier_turn" | "company" | "resume" | "reader" | "other_request" | "slot" | "batch" | "cells" | "turn";
            /** @description 0: not known yet */
            prompt_tokens: number;
            /** @description computed, or found from before */
            prompt_tokens_done: number;
            /** @description of the prompt: found from before */
            reused_tokens: number;
            /** @description so far */
            output_tokens: number;
            /** @description it waited for so long until its model took it: for a load, or an earlier turn */
            held_seconds: number;
            /** @description from submission to its first pass, once it has begun */
            queue_seconds?: number;
            /** @description from submission to its first token, once there is one */
            first_token_seconds?: number;
            /** @description while it waits: the reason, its numbers, and a sentence */
            why?: {
                /** @enum {unknown} */
                reason: "loading" | "sequences" | "cells" | "class" | "share" | "queue" | "conversation" | "reader" | "suspended";
                text: string;
            } & {
                [key: string]: unknown;
            };
            /** @description how many are before it */
            ahead?: number;
            /** @description until it begins; null: it cannot be told */
            expected_seconds?: number | null;
        };
        Session: {
            /** @description null: a key is needed */
            tenant: string | null;
            scopes: string[];
            /** @description null: it is no session */
            expires_in_seconds: number | null;
        };
        /** @description as they are, or with format=chrome as a trace */
        Turns: {
            /** @description since the daemon began */
            now_us?: number;
            /** @description since then all turns are told */
            from_us?: number;
            lanes?: {
                lane: number;
                threads: number;
                missing: number;
                /** @description begin_us, length_us, model, prompt rows, decode rows, class, threads, why it had this turn: 0 nothing else had work, 1 its shares, 2 its class, 3 it had waited */
                turns: [
                    number,
                    number,
                    string,
                    number,
                    number,
                    components["schemas"]["PriorityName"],
                    number,
                    number
                ][];
            }[];
            /** @constant */
            displayTimeUnit?: "ms";
            traceEvents?: Record<string, never>[];
        };
        TurnsFrame: {
            /** @constant */
            topic: "turns";
            /** @description since the daemon began */
            now_us: number;
            /** @description since then the frame tells all turns but the missing ones; that of the frame before, where nothing is left out */
            from_us: number;
            lanes: {
                lane: number;
                threads: number;
                /** @description turns that are not told */
                missing: number;
                /** @description begin_us, length_us, model, prompt rows, decode rows, class, turns merged into it, threads that computed, why it had this turn: 0 nothing else had work, 1 its shares, 2 its class, 3 it had waited */
                blocks: [
                    number,
                    number,
                    string,
                    number,
                    number,
                    components["schemas"]["PriorityName"],
                    number,
                    number,
                    number
                ][];
            }[];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
type WithRequired<T, K extends keyof T> = T & {
    [P in K]-?: T[P];
};
export type operations = Record<string, never>;
