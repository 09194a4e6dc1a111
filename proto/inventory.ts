/** What a machine is made of, as its agent saw it. Sizes in bytes. Empty strings are left out. */
export interface Inventory {
  readonly collectedAt: string;
  readonly system: {
    readonly manufacturer?: string;
    readonly product?: string;
    readonly serial?: string;
    readonly uuid?: string;
  };
  readonly firmware: {
    readonly kind: 'bios' | 'uefi';
    readonly vendor?: string;
    readonly version?: string;
    readonly date?: string;
  };
  readonly cpu: {
    readonly model?: string;
    readonly arch: string;
    readonly sockets: number;
    readonly cores: number;
    readonly threads: number;
  };
  readonly memoryBytes: number;
  readonly disks: readonly InventoryDisk[];
  readonly interfaces: readonly InventoryInterface[];
}

export interface InventoryDisk {
  /** /dev/sda */
  readonly device: string;
  /** Stable names below /dev/disk/by-id, if any. */
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  readonly model?: string;
  readonly serial?: string;
  readonly wwn?: string;
  readonly rotational: boolean;
  readonly transport?: string;
}

export interface InventoryInterface {
  readonly name: string;
  readonly mac: string;
  readonly driver?: string;
  /** Megabits per second; absent when there is no link. */
  readonly speedMbps?: number;
  readonly hasLink: boolean;
  readonly addresses: readonly string[];
}
