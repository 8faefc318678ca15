// The shims and the flame graph's inner components carry no types; what is used of them is named here.
declare module "@grafana/data" {
  export interface Theme {
    isDark: boolean;
    colors: {
      background: { canvas: string; primary: string; secondary: string };
      border: { weak: string; medium: string };
      text: { primary: string; secondary: string };
    };
  }
  export const FieldType: { number: string; enum: string };
  export function createDataFrame(frame: { fields: unknown[] }): unknown;
  export function createTheme(options: { colors: { mode: "dark" | "light" } }): Theme;
  export function getValueFormat(unit: string): (value: number) => { text: string; suffix?: string };
}

declare module "@grafana/ui" {
  import type { ComponentType, Context } from "react";
  import type { Theme } from "@grafana/data";
  export const ThemeContext: Context<Theme>;
  export const Input: ComponentType<any>;
  export const Button: ComponentType<any>;
  export const ButtonGroup: ComponentType<any>;
  export const RadioButtonGroup: ComponentType<any>;
}

declare module "@fg/FlameGraph/FlameGraph.mjs" {
  import type { ComponentType } from "react";
  const FlameGraph: ComponentType<any>;
  export default FlameGraph;
}

declare module "@fg/FlameGraph/dataTransform.mjs" {
  export class CollapsedMap {
    setAllCollapsedStatus(collapsed: boolean): CollapsedMap;
  }
  export interface LevelItem {
    start: number;
    value: number;
  }
  export class FlameGraphDataContainer {
    constructor(frame: unknown, options: { collapsing: boolean }, theme: unknown);
    getCollapsedMap(): CollapsedMap;
    getLevels(): LevelItem[][];
    getNodesWithLabel(label: string): LevelItem[] | undefined;
  }
}

declare module "@fg/TopTable/FlameGraphTopTableContainer.mjs" {
  import type { ComponentType } from "react";
  const TopTable: ComponentType<any>;
  export default TopTable;
}

declare module "@fg/ColorSchemeButton.mjs" {
  import type { ComponentType } from "react";
  export const ColorSchemeButton: ComponentType<any>;
}

declare module "@fg/types.mjs" {
  export const ColorScheme: { PackageBased: string; ValueBased: string };
}
