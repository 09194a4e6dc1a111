import type { FastifyBaseLogger } from 'fastify';
import type { Static, TSchema } from 'typebox';
import type { PlanHost } from '../cluster/plan-host.ts';
import type { ImagesOnFirstUse } from '../library/first-use/images-on-first-use.ts';
import type { ImageJobs } from '../library/image-jobs.ts';
import type { ImageLibrary } from '../library/image-library.ts';
import type { ActionImages } from '../manifests/action-images.ts';
import type { Cause, Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import type { ImageServing } from './image-types.ts';

/** What the verbs behind the routes work on. */
export interface ApiDeps {
  readonly store: Store;
  readonly transitions: Transitions;
  /** Version of Tinsmith. */
  readonly version: string;
  /** For actions whose template names no timeout. */
  readonly actionTimeoutMs: number;
  /** A site's own names of actions. */
  readonly actionImages?: ActionImages;
  readonly images: {
    readonly library: ImageLibrary;
    readonly jobs: ImageJobs;
    /** Absent: machines fetch images of other servers themselves. */
    readonly firstUse?: ImagesOnFirstUse | undefined;
    /** Who is served images now, and who waits. */
    readonly serving: () => ImageServing;
  };
  readonly clock: () => Date;
  /** The host that cluster plans are made on. */
  readonly planHost: PlanHost;
  readonly log: FastifyBaseLogger;
}

/** A request after its schemas were checked. A schema that a route leaves out makes its part `unknown`. */
export interface RouteInput<Params extends TSchema, Query extends TSchema, Body extends TSchema> {
  readonly params: Static<Params>;
  readonly query: Static<Query>;
  readonly body: Static<Body>;
  /** Kept with the event of a change. */
  readonly cause: Cause;
  /** Aborted when the client went away or the server stops. */
  readonly signal: AbortSignal;
}

interface RouteShape<Params extends TSchema, Query extends TSchema, Body extends TSchema> {
  /** Below `/api/v1`; parameters as `:name`. */
  readonly path: string;
  /** One sentence, for the OpenAPI document. */
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
}

/** Request in, JSON body out; a failure is a thrown TinsmithError. */
export interface Route<
  Params extends TSchema = TSchema,
  Query extends TSchema = TSchema,
  Body extends TSchema = TSchema,
> extends RouteShape<Params, Query, Body> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly response: TSchema;
  handle(input: RouteInput<Params, Query, Body>, deps: ApiDeps): Promise<unknown>;
}

/** One message of a server-sent event stream. Those without an id are live only: they are not sent again on resume. */
export interface StreamMessage {
  readonly id?: number;
  /** `message` when left out. */
  readonly event?: string;
  readonly data: unknown;
}

export interface StreamInput<Params extends TSchema, Query extends TSchema> {
  readonly params: Static<Params>;
  readonly query: Static<Query>;
  /** Of the `Last-Event-ID` header: the client has seen everything up to it. */
  readonly lastEventId: number | undefined;
  readonly signal: AbortSignal;
}

/** GET that is answered as `text/event-stream`. */
export interface StreamRoute<Params extends TSchema = TSchema, Query extends TSchema = TSchema>
  extends RouteShape<Params, Query, TSchema> {
  readonly message: TSchema;
  /** Runs before the first byte is sent, so that a failure still has its status. */
  open(input: StreamInput<Params, Query>, deps: ApiDeps): Promise<AsyncIterable<StreamMessage>>;
}

/** Ties the types of `handle` to the route's schemas. */
export function defineRoute<Params extends TSchema, Query extends TSchema, Body extends TSchema>(
  route: Route<Params, Query, Body>,
): Route {
  return route;
}

/** Ties the types of `open` to the route's schemas. */
export function defineStream<Params extends TSchema, Query extends TSchema>(
  route: StreamRoute<Params, Query>,
): StreamRoute {
  return route;
}
